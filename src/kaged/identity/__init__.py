"""Identity: who is calling, and whether a browser may be made to call at all. Owns the sidecar's header contract, the
loopback sign-in (launch tokens, browser sessions), the peers that may speak as a sidecar, the browser rules (Host,
Origin, CSRF, security headers), people with their roles and the table of what each may do, and the life of open
sockets. Promises that every request which reaches a route carries exactly one `Actor` in `scope["state"]["actor"]` (or
none, on the few anonymous routes), that no route ever sees an `X-Kaged-*`, `Cookie` or `Authorization` header, and that
refusals are decided before a WebSocket is accepted. Never stores or logs a secret: only SHA-256 hashes. Never trusts an
`X-Forwarded-*` header, and does not know which project an object belongs to: the API looks that up."""
