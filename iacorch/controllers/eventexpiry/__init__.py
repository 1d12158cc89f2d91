"""Events are news: they are deleted when they are old."""
