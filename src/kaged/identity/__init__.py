"""Identity: who is calling, and whether a browser may be made to call at all. Owns the sidecar's header contract, the
loopback sign-in, the peers that may speak as a sidecar, the browser rules, people and what their roles may do, and the
life of open sockets. Promises that a request which reaches a route carries exactly one `Actor` in
`scope["state"]["actor"]` (none, on the few anonymous routes), that no route sees an `X-Kaged-*`, `Cookie` or
`Authorization` header, and that refusals come before a WebSocket is accepted. Keeps only hashes of secrets, and never
trusts an `X-Forwarded-*` header."""
