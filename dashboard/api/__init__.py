"""The desk for programs: REST and WebSocket on the page's server, behind a token of their own."""
