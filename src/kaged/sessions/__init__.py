"""Sessions: conversations with an agent, their runs, and the questions that wait for the operator. Owns the states of
sessions and runs, their projections in storage, the tasks that carry out runs, and their recovery after a crash.
Promises that a state changes only together with the event that says so, that no run stays "running" once nothing runs
it, and that stopping the daemon leaves every run resumable. Never talks to a model or a tool itself."""
