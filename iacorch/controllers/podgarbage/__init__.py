"""Pod garbage: pods that no agent will ever end. `plan` decides, `controller` is the edge."""
