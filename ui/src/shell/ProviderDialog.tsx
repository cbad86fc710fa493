import { type FormEvent, type ReactNode, useState } from "react";
import { api } from "../api/client.ts";
import type { ProviderTest } from "../api/types.ts";
import { Button } from "../design/Button.tsx";
import { Dialog } from "../design/Dialog.tsx";
import { Notice, Problem, SelectField, TextField } from "../design/parts.tsx";
import { useWork } from "../design/work.ts";
import { t } from "../i18n/index.ts";
import { toast } from "../state/toasts.ts";
import { refreshProjects } from "../state/workspace.ts";
import { modelsChanged } from "./overlay.ts";
import { draftOf, guess, preferred, type ProviderForm } from "./provider.ts";

/** Paste a key or an address, test it, choose a model: it is the default from the next message on. */
export function ProviderDialog({ onClose }: { onClose: () => void }): ReactNode {
  const [form, setForm] = useState<ProviderForm>({ pasted: "", driver: "anthropic", key: "", baseUrl: "" });
  const [name, setName] = useState("");
  const [model, setModel] = useState("");
  const [test, setTest] = useState<ProviderTest | null>(null);
  const { busy, problem, setProblem, run } = useWork();
  const found = guess(form.pasted);
  const isAddress = found?.kind === "server";
  const shownName = name || found?.name || form.driver;
  // What was tested is not what stands there any more.
  const edit = (part: Partial<ProviderForm>): void => {
    setForm({ ...form, ...part });
    setTest(null);
  };
  const paste = (pasted: string): void => {
    setProblem(null);
    edit({ pasted, driver: guess(pasted)?.driver ?? form.driver });
  };

  const draft = draftOf(form);
  const tryIt = async (): Promise<void> => {
    const result = await api.tryProvider(draft);
    if (!result.ok) return setProblem(result.message);
    setTest(result);
    setModel(preferred(result.models));
  };
  const save = async (): Promise<void> => {
    const answer = await api.tryProvider({ ...draft, model });
    if (!answer.ok) return setProblem(answer.message);
    await api.saveProvider(shownName, { ...draft, model, make_default: true });
    modelsChanged.set((count) => count + 1);
    await refreshProjects();
    toast(t("dialogs:model.connected", { model }));
    onClose();
  };

  const submit = (event: FormEvent): void => {
    event.preventDefault();
    void run(test === null ? tryIt : save);
  };

  return (
    <Dialog title={t("dialogs:model.title")} onClose={onClose}>
      <form className="form" onSubmit={submit}>
        <TextField label={t("dialogs:model.what")} placeholder={t("dialogs:model.example")}
          type={isAddress ? "text" : "password"} value={form.pasted} required autoFocus
          hint={t("dialogs:model.hint")}
          onChange={(event) => paste(event.target.value)} />
        {isAddress ? (
          <TextField label={t("dialogs:model.key")} type="password" placeholder={t("dialogs:model.noKey")} value={form.key}
            onChange={(event) => edit({ key: event.target.value })} />
        ) : null}
        <details className="more-fields">
          <summary>{t("dialogs:model.details")}</summary>
          <div className="form">
            <SelectField label={t("dialogs:model.protocol")} value={form.driver}
              onChange={(event) => edit({ driver: event.target.value === "openai" ? "openai" : "anthropic" })}>
              <option value="anthropic">Anthropic Messages</option>
              <option value="openai">OpenAI Chat Completions</option>
            </SelectField>
            {isAddress ? null : (
              <TextField label={t("dialogs:model.address")} placeholder={t("dialogs:model.own")} value={form.baseUrl}
                onChange={(event) => edit({ baseUrl: event.target.value })} />
            )}
            <TextField label={t("dialogs:model.name")} placeholder={shownName} value={name} pattern="[a-z0-9][a-z0-9\-]{0,39}"
              hint={t("dialogs:model.nameHint")}
              onChange={(event) => setName(event.target.value)} />
          </div>
        </details>
        {test === null ? null : <ModelChoice test={test} model={model} onModel={setModel} />}
        <Problem text={problem} />
        <div className="form-acts">
          <Button onClick={onClose}>{t("common:cancel")}</Button>
          <Button type="submit" look="primary" busy={busy}
            disabled={form.pasted.trim() === "" || (test !== null && model.trim() === "")}>
            {test === null ? t("dialogs:model.test") : t("dialogs:model.save")}
          </Button>
        </div>
      </form>
    </Dialog>
  );
}

interface ModelChoiceProps {
  test: ProviderTest;
  model: string;
  onModel: (model: string) => void;
}

function ModelChoice({ test, model, onModel }: ModelChoiceProps): ReactNode {
  const ms = test.latency_ms;
  return (
    <>
      <Notice tone="ok">{test.message || (ms === null ? t("dialogs:model.answers") : t("dialogs:model.answersIn", { ms }))}</Notice>
      {test.models.length === 0 ? (
        <TextField label={t("dialogs:model.model")} placeholder={t("dialogs:model.modelName")} value={model}
          hint={t("dialogs:model.noList")}
          onChange={(event) => onModel(event.target.value)} />
      ) : (
        <SelectField label={t("dialogs:model.model")} value={model} onChange={(event) => onModel(event.target.value)}>
          {test.models.map((name) => <option key={name} value={name}>{name}</option>)}
        </SelectField>
      )}
    </>
  );
}
