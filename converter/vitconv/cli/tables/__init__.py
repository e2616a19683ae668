"""What commands print: tables and wrapped text. Imports results of all rooms below cli."""
