"""The cluster's names, answered on every node: `zone.py` (pure) turns Services into records, `answer.py` (pure) answers
questions about them, `upstream.py` asks others about all other names, `server.py` listens, `snapshot.py` keeps the
records over a restart."""
