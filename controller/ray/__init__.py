"""The operator proper: it knows Ray, and reaches the cluster only through controller.runtime."""
