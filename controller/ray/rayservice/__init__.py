"""RayService: clusters that serve applications, and the change from one to the next (docs/spec/rayservice.md)."""
