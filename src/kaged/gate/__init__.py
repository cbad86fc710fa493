"""The gate: the third process, through which all passes that a cage sends to a network. Owns names, rules, relay, the
cages' certificate authorities and the secrets it puts into requests. Promises that nothing leaves that no rule allows,
that each decision is told and that a cage can fill neither memory nor journal. Imports only `core` and libraries."""
