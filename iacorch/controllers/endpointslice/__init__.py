"""EndpointSlice: which pods are behind a Service. `plan` decides, `controller` is the edge."""
