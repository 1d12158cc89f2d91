"""How kinds are told to others: the types of their fields, and every form that follows from them.

In: bodies as they come in, kinds as they are. Out: objects that have passed the types, or a BadRequest that names the
field; the documents by which clients learn what there is. The server calls all of them.

    structure     types, fields and numbers of every kind, from `data/`: what the others read
    schema        JSON or YAML that was decoded: unknown fields, wrong types, missing ones
    protobuf      Kubernetes' binary form, in and out
    openapi       the documents /openapi/v2 and /openapi/v3
    discovery     which groups, versions and resources are served
"""
