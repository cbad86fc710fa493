"""The API room: HTTP routes, the WebSocket hub, the error shape, OpenAPI, the static page. Promises the names and
shapes of the HTTP and WebSocket contracts. Holds no business rule: a route checks its input, calls one service of a
lower room and shapes the answer. Never authenticates (the identity middleware has) and never touches storage."""
