"""The registry over HTTP, as Kubernetes speaks it.

`app` is the server and its one entrance, `paths` says what a URL names, `negotiation` what body was sent and what
answer is wanted, `resources` carries out verbs, `streams` writes watches, `documents` answers discovery, OpenAPI,
health and version. Errors leave as Status objects from one place (`app.ApiServer.handle`).
"""
