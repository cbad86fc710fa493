import type { ProviderDraft } from "../api/client.ts";
import type { Driver } from "../api/types.ts";

/** What a pasted key or address says about its provider. */
interface Guess {
  kind: "anthropic" | "openai" | "server";
  driver: Driver;
  name: string;
}

export function guess(pasted: string): Guess | null {
  const text = pasted.trim();
  if (/^https?:\/\/\S+$/i.test(text)) return { kind: "server", driver: "openai", name: serverName(text) };
  if (text.startsWith("sk-ant-")) return { kind: "anthropic", driver: "anthropic", name: "anthropic" };
  if (text.startsWith("sk-")) return { kind: "openai", driver: "openai", name: "openai" };
  return null;
}

/** A provider's name out of an address: letters, digits and hyphens, as `local.toml` wants it. */
export function serverName(address: string): string {
  let host = "";
  try {
    const url = new URL(address);
    host = url.port === "11434" ? "ollama" : url.hostname;
  } catch {
    host = "";
  }
  const name = host
    .toLowerCase()
    .replace(/^(api|www)\./, "")
    .replace(/[^a-z0-9]+/g, "-")
    .replace(/^-+|-+$/g, "")
    .slice(0, 40);
  return name === "" || name === "127-0-0-1" || name === "localhost" ? "local" : name;
}

export interface ProviderForm {
  pasted: string;
  driver: Driver;
  baseUrl: string;
  key: string;
}

/** The request that a form stands for: what was pasted is the key or the address, details win. */
export function draftOf(form: ProviderForm): ProviderDraft {
  const pasted = form.pasted.trim();
  const isAddress = guess(pasted)?.kind === "server";
  const baseUrl = form.baseUrl.trim() || (isAddress ? pasted : "");
  const key = isAddress ? form.key.trim() : pasted;
  return {
    driver: form.driver,
    ...(baseUrl === "" ? {} : { base_url: baseUrl }),
    ...(key === "" ? {} : { api_key: key }),
  };
}

/** The model to offer first: a general one rather than embeddings, speech or pictures. */
export function preferred(models: readonly string[]): string {
  const chat = models.filter((model) => !/embed|tts|whisper|audio|image|moderation|dall|rerank/i.test(model));
  return chat.find((model) => /sonnet|gpt-5|gpt-4|coder/i.test(model)) ?? chat[0] ?? models[0] ?? "";
}
