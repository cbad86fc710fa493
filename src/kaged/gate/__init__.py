"""The gate: the third process, through which everything passes that a cage sends to a network. Owns names, rules,
relay, the cages' certificate authorities and the secrets that it puts into requests. Promises that nothing leaves
that no rule allows, that each decision is told and that a cage can fill neither memory nor journal. Runs on the
standard library, h11 and, where TLS is opened, cryptography; imports only `core`. No gate, no network."""
