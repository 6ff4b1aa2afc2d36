"""The Ray dashboard: requests and answers as data, one HTTP request, and watched sessions."""
