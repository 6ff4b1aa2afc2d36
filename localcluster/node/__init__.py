"""The scheduler, the kubelet, and what runs a pod."""
