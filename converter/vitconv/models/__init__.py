"""The networks and how they are named: `catalogue` is the way in."""
