import { type ReactNode, useState } from "react";
import { api } from "../api/client.ts";
import type { Provider, ProviderTest } from "../api/types.ts";
import { Button, IconButton } from "../design/Button.tsx";
import { Facts } from "../design/Facts.tsx";
import { PlusIcon, RemoveIcon } from "../design/icons.tsx";
import { useLoaded } from "../design/loaded.ts";
import { Badge, Notice, Select } from "../design/parts.tsx";
import { Sentence } from "../design/Sentence.tsx";
import { StateView } from "../design/StateView.tsx";
import { useWork } from "../design/work.ts";
import { t } from "../i18n/index.ts";
import { modelsChanged, overlay } from "../shell/overlay.ts";
import { useStore } from "../state/store.ts";
import { toast, toastError } from "../state/toasts.ts";
import { refreshProjects } from "../state/workspace.ts";

/** Providers, which of their models is the default, and the aliases that projects name. */
export default function Models(): ReactNode {
  const held = useLoaded(api.local, useStore(modelsChanged));
  return (
    <>
      <div className="section-acts">
        <Button look="primary" onClick={() => overlay.set({ kind: "provider" })}>
          <PlusIcon size={15} /> {t("settings:models.connect")}
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
                <ProviderLine key={provider.name} provider={provider} isDefault={usual?.provider === provider.name}
                  onChanged={held.retry} />
              ))}
            </ul>
            {Object.keys(aliases).length === 0 ? null : (
              <>
                <h2 className="page-title">{t("settings:models.aliases")}</h2>
                <Facts mono rows={Object.entries(aliases)} />
              </>
            )}
          </>
        )}
      </StateView>
    </>
  );
}

interface ProviderLineProps {
  provider: Provider;
  isDefault: boolean;
  onChanged: () => Promise<void>;
}

function ProviderLine({ provider, isDefault, onChanged }: ProviderLineProps): ReactNode {
  const [test, setTest] = useState<ProviderTest | null>(null);
  const [chosen, setChosen] = useState("");
  const { busy, run } = useWork(toastError);
  const { name, source, base_url, driver } = provider;
  const model = chosen || (test?.models[0] ?? "");
  const tryIt = async (): Promise<void> => setTest(await api.testProvider(name));
  const change = async (work: Promise<unknown>, done?: string): Promise<void> => {
    await work;
    await refreshProjects();
    if (done !== undefined) toast(done);
    void onChanged();
  };
  const remove = (): Promise<void> => change(api.removeProvider(name));
  const use = (): Promise<void> => change(api.setAlias("default", `${name}:${model}`), t("settings:models.nowDefault", { model }));
  const facts = [base_url ?? driver, keyWords(provider), t(`settings:models.source.${source}`)];
  return (
    <li className="provider" data-testid="provider">
      <div className="list-line">
        <div className="grow">
          <div className="provider-name">
            {name} {isDefault ? <Badge tone="accent">{t("settings:models.isDefault")}</Badge> : null}
          </div>
          <div className="muted ellipsis">{facts.filter(Boolean).join(" · ")}</div>
        </div>
        <Button small busy={busy} onClick={() => void run(tryIt)}>{t("settings:models.test")}</Button>
        {source === "file" ? (
          <IconButton small label={t("settings:models.remove", { name })} disabled={busy} onClick={() => void run(remove)}>
            <RemoveIcon size={14} />
          </IconButton>
        ) : null}
      </div>
      {test === null ? null : (
        <div className="provider-test">
          <Notice tone={test.ok ? "ok" : "bad"}><Sentence text={test.message} /></Notice>
          {test.models.length === 0 ? null : (
            <div className="controls">
              <Select label={t("settings:models.model")} of={test.models} now={model} onChoose={setChosen} />
              <Button disabled={busy} onClick={() => void run(use)}>{t("settings:models.makeDefault")}</Button>
            </div>
          )}
        </div>
      )}
    </li>
  );
}

function keyWords({ key, source }: Provider): string {
  if (key === "set") return t("settings:models.keyStored");
  if (key === "none") return source === "builtin" ? "" : t("settings:models.noKey");
  return t("settings:models.keyIn", { name: key.replace(/^env:/, "$") });
}
