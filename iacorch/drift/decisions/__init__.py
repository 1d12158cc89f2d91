"""What is done about each drift, and why, or why not. Pure: the moment is an argument, nothing here looks or acts.

In: the observations of a check, DriftPolicies, what is remembered. Out: a `Decision` for each observation, and the
memory after it. `check` calls `assess`; correctors carry out what it says.

    assess        one check: all observations, worst first within the budget of their policy
      policy      which rule speaks for an observation
        windows   is a maintenance window open
      memory      since when, how often tried, approved, adopted
        fights    does somebody else keep changing it back
      decide      the outcome for one observation

Read `decide`, whose table has every outcome, then `reports/`.
"""
