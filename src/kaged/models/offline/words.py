"""The longer texts of the offline model."""

WHO_I_AM = """\
I am the built-in **offline** model: no key, no network, and no intelligence. I follow plain commands \
through the same tools and the same cage that a real model would use, so you can see all of kaged work.

Write any of these, one a line:

- `run: COMMAND`, `read: PATH`, `search: PATTERN`, `ask: QUESTION`
- `write PATH:` with the content on the following lines, `edit PATH: OLD => NEW`
- `say: TEXT`, `wait: SECONDS`, `stream: N`

Or one of the three offers: **fix the failing test**, **try to escape**, **connect a model**.

For a real conversation, connect a model: open *Connect a model* on the first page, or set \
`ANTHROPIC_API_KEY` or `OPENAI_API_KEY` before kaged starts."""

CONNECT = """\
There are three ways to connect a real model:

1. **In the console**: *Connect a model* on the first page (or *Models* in the settings). Choose the kind, \
paste a key or the address of a server, press *Test*, and save. It is kept in `local.toml` on this machine, \
readable by your account only, and never shown again.
2. **In `local.toml`**, in kaged's configuration folder (`kaged config path` prints it):
```toml
[aliases]
default = "anthropic:claude-sonnet-5-5"

[providers.anthropic]
driver = "anthropic"
api_key_env = "ANTHROPIC_API_KEY"
```
3. **In the environment**: start kaged with `ANTHROPIC_API_KEY` or `OPENAI_API_KEY` set. The first one found \
becomes the default.

Any server that speaks the OpenAI Chat Completions wire works: Ollama, vLLM, llama.cpp, LM Studio, a gateway \
of your company. Your next message then goes to that model instead of me."""
