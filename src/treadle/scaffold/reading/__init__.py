"""Reading a table whose types nobody declared."""
