import { type ReactNode, useCallback, useEffect, useState } from "react";
import { api } from "../api/client.ts";
import { sentence } from "../api/http.ts";
import type { Local, Provider, ProviderTest } from "../api/types.ts";
import { Button, IconButton } from "../design/Button.tsx";
import { PlusIcon, RemoveIcon } from "../design/icons.tsx";
import { Badge, Notice, Skeleton } from "../design/parts.tsx";
import { Header } from "../shell/Header.tsx";
import { modelsChanged, overlay } from "../shell/overlay.ts";
import { useStore } from "../state/store.ts";
import { toast, toastError } from "../state/toasts.ts";
import { refreshProjects } from "../state/workspace.ts";
import { Sentence } from "../design/Sentence.tsx";

const SOURCES: Readonly<Record<Provider["source"], string>> = {
  file: "local.toml",
  environment: "from the environment",
  builtin: "built in",
};

export function ModelsPage({ onMenu }: { onMenu: () => void }): ReactNode {
  const [local, setLocal] = useState<Local | null>(null);
  const [problem, setProblem] = useState<string | null>(null);
  const changed = useStore(modelsChanged);
  const look = useCallback(async (): Promise<void> => {
    try {
      setLocal(await api.local());
      setProblem(null);
    } catch (error) {
      setProblem(sentence(error));
    }
  }, []);
  useEffect(() => void look(), [look, changed]);

  return (
    <>
      <Header title="Models" onMenu={onMenu}>
        <Button look="primary" onClick={() => overlay.set({ kind: "provider" })}>
          <PlusIcon size={15} aria-hidden /> Connect a model
        </Button>
      </Header>
      <div className="page" tabIndex={0}>
        <div className="page-column">
          {problem === null ? null : (
            <Notice tone="bad">
              <Sentence text={problem} />
            </Notice>
          )}
          {local === null && problem === null ? <Skeleton lines={5} /> : null}
          {local === null ? null : (
            <>
              <p className="lead">
                New messages go to <strong data-testid="default-model">{local.default?.label ?? "no model"}</strong>{" "}
                unless a project names another model.
              </p>
              <ul role="list" className="card list">
                {local.providers.map((provider) => (
                  <ProviderLine
                    key={provider.name}
                    provider={provider}
                    isDefault={local.default?.provider === provider.name}
                    onChanged={() => void look()}
                  />
                ))}
              </ul>
              <Aliases aliases={local.aliases} />
            </>
          )}
        </div>
      </div>
    </>
  );
}

interface ProviderLineProps {
  provider: Provider;
  isDefault: boolean;
  onChanged: () => void;
}

function ProviderLine({ provider, isDefault, onChanged }: ProviderLineProps): ReactNode {
  const [test, setTest] = useState<ProviderTest | null>(null);
  const [busy, setBusy] = useState(false);
  const [chosen, setChosen] = useState("");

  const run = async (act: () => Promise<void>): Promise<void> => {
    setBusy(true);
    try {
      await act();
    } catch (error) {
      toastError(error);
    } finally {
      setBusy(false);
    }
  };
  const remove = async (): Promise<void> => {
    await api.removeProvider(provider.name);
    await refreshProjects();
    onChanged();
  };
  const use = async (model: string): Promise<void> => {
    await api.setAlias("default", `${provider.name}:${model}`);
    await refreshProjects();
    toast(`${model} is the default now.`);
    onChanged();
  };

  return (
    <li className="provider" data-testid="provider">
      <div className="list-line">
        <div className="grow">
          <div className="provider-name">
            {provider.name} {isDefault ? <Badge tone="accent">default</Badge> : null}
          </div>
          <div className="muted ellipsis">
            {[provider.base_url ?? provider.driver, keyWords(provider), SOURCES[provider.source]]
              .filter(Boolean)
              .join(" · ")}
          </div>
        </div>
        <Button small busy={busy} onClick={() => void run(async () => setTest(await api.testProvider(provider.name)))}>
          Test
        </Button>
        {provider.source === "file" ? (
          <IconButton small label={`Remove ${provider.name}`} disabled={busy} onClick={() => void run(remove)}>
            <RemoveIcon size={14} />
          </IconButton>
        ) : null}
      </div>
      {test === null ? null : (
        <div className="provider-test">
          <Notice tone={test.ok ? "ok" : "bad"}>
            <Sentence text={test.message} />
          </Notice>
          {test.models.length === 0 ? null : (
            <div className="provider-use">
              <select
                className="select"
                aria-label="Model"
                value={chosen || test.models[0]}
                onChange={(event) => setChosen(event.target.value)}
              >
                {test.models.map((model) => (
                  <option key={model}>{model}</option>
                ))}
              </select>
              <Button disabled={busy} onClick={() => void run(() => use(chosen || (test.models[0] ?? "")))}>
                Make it the default
              </Button>
            </div>
          )}
        </div>
      )}
    </li>
  );
}

function keyWords(provider: Provider): string {
  if (provider.key === "set") return "key stored";
  if (provider.key === "none") return provider.source === "builtin" ? "" : "no key";
  return `key in ${provider.key.replace(/^env:/, "$")}`;
}

function Aliases({ aliases }: { aliases: Record<string, string> }): ReactNode {
  const entries = Object.entries(aliases);
  if (entries.length === 0) return null;
  return (
    <>
      <h2 className="page-title">Aliases</h2>
      <dl className="card facts">
        {entries.map(([alias, target]) => (
          <div key={alias} className="fact">
            <dt className="fact-name mono">{alias}</dt>
            <dd className="fact-value mono">{target}</dd>
          </div>
        ))}
      </dl>
    </>
  );
}
