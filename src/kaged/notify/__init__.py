"""Notify: tells people outside of the console that something waits for them, by web push to the browsers they chose.
Owns the subscriptions, the daemon's own key, and the state of what each browser was told. Promises that nothing secret
leaves (title, project, kind and a link), that a question which is closed is taken back, and that no address of this
host or its networks is reached. Never decides who may see what: it asks."""
