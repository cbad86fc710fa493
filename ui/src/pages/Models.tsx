import { type ReactNode, useState } from "react";
import { api } from "../api/client.ts";
import type { Provider, ProviderTest } from "../api/types.ts";
import { Button, IconButton } from "../design/Button.tsx";
import { PlusIcon, RemoveIcon } from "../design/icons.tsx";
import { Badge, Notice } from "../design/parts.tsx";
import { t } from "../i18n/index.ts";
import { modelsChanged, overlay } from "../shell/overlay.ts";
import { useStore } from "../state/store.ts";
import { toast, toastError } from "../state/toasts.ts";
import { refreshProjects } from "../state/workspace.ts";
import { Sentence } from "../design/Sentence.tsx";
import { Facts } from "../design/Facts.tsx";
import { useLoaded } from "../design/loaded.ts";
import { StateView } from "../design/StateView.tsx";

/** Providers, which of their models is the default, and the aliases that projects name. */
export default function Models(): ReactNode {
  const held = useLoaded(api.local, useStore(modelsChanged));
  return (
    <>
      <div className="section-acts">
        <Button look="primary" onClick={() => overlay.set({ kind: "provider" })}>
          <PlusIcon size={15} aria-hidden /> {t("settings:models.connect")}
        </Button>
      </div>
      <StateView of={held}>
        {({ default: usual, providers, aliases }) => (
          <>
            <p className="lead">
              {t("settings:models.default")}{" "}
              <strong data-testid="default-model">{usual?.label ?? t("settings:models.noModel")}</strong>{" "}
              {t("settings:models.unless")}
            </p>
            <ul role="list" className="card list">
              {providers.map((provider) => (
                <ProviderLine
                  key={provider.name}
                  provider={provider}
                  isDefault={usual?.provider === provider.name}
                  onChanged={() => void held.retry()}
                />
              ))}
            </ul>
            <Aliases aliases={aliases} />
          </>
        )}
      </StateView>
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
    toast(t("settings:models.nowDefault", { model }));
    onChanged();
  };

  return (
    <li className="provider" data-testid="provider">
      <div className="list-line">
        <div className="grow">
          <div className="provider-name">
            {provider.name} {isDefault ? <Badge tone="accent">{t("settings:models.isDefault")}</Badge> : null}
          </div>
          <div className="muted ellipsis">
            {[provider.base_url ?? provider.driver, keyWords(provider), t(`settings:models.source.${provider.source}`)]
              .filter(Boolean)
              .join(" · ")}
          </div>
        </div>
        <Button small busy={busy} onClick={() => void run(async () => setTest(await api.testProvider(provider.name)))}>
          {t("settings:models.test")}
        </Button>
        {provider.source === "file" ? (
          <IconButton small label={t("settings:models.remove", { name: provider.name })} disabled={busy} onClick={() => void run(remove)}>
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
                aria-label={t("settings:models.model")}
                value={chosen || test.models[0]}
                onChange={(event) => setChosen(event.target.value)}
              >
                {test.models.map((model) => (
                  <option key={model}>{model}</option>
                ))}
              </select>
              <Button disabled={busy} onClick={() => void run(() => use(chosen || (test.models[0] ?? "")))}>
                {t("settings:models.makeDefault")}
              </Button>
            </div>
          )}
        </div>
      )}
    </li>
  );
}

function keyWords(provider: Provider): string {
  if (provider.key === "set") return t("settings:models.keyStored");
  if (provider.key === "none") return provider.source === "builtin" ? "" : t("settings:models.noKey");
  return t("settings:models.keyIn", { name: provider.key.replace(/^env:/, "$") });
}

function Aliases({ aliases }: { aliases: Record<string, string> }): ReactNode {
  const entries = Object.entries(aliases);
  if (entries.length === 0) return null;
  return (
    <>
      <h2 className="page-title">{t("settings:models.aliases")}</h2>
      <Facts mono rows={entries} />
    </>
  );
}
