"""Who runs the pods of this node: a worker each, one operation at a time.

In: pods from the API and the journal, containers and events from the runtime, answers of probes. Out: operations on
the runtime, the network and the volumes; statuses and events for the API. The composition root runs `pods.Pods`.

    pods                     all of them: who runs, who is told what
      worker                 one pod: asks `lifecycle.machine` for the next step and has it carried out
        knowledge            what is known of the pod, as the decision sees it
        operations           carries out one operation
          assembly           puts a container together, from `containers/` and `volumes/`
          hooks              postStart, preStop
        probes               when to ask a container, and what the answers add up to
          prober             one question: http, tcp, exec
        reporter             statuses and events, on their way to the API

Nothing is decided here. Read `worker`, then `lifecycle/`.
"""
