"""What people see in a browser: the public pages that messages lead to. Imports neither Prefect nor pandas."""
