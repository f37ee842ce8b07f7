"""A new project from a table: reading its columns, planning their roles, and writing the project's files."""
