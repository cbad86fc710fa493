import { type FormEvent, type ReactNode, useState } from "react";
import { api } from "../api/client.ts";
import { sentence } from "../api/http.ts";
import type { Driver, ProviderTest } from "../api/types.ts";
import { Button } from "../design/Button.tsx";
import { t } from "../i18n/index.ts";
import { Dialog } from "../design/Dialog.tsx";
import { Notice, SelectField, TextField } from "../design/parts.tsx";
import { toast } from "../state/toasts.ts";
import { refreshProjects } from "../state/workspace.ts";
import { modelsChanged } from "./overlay.ts";
import { draftOf, guess, preferred } from "./provider.ts";
import { Sentence } from "../design/Sentence.tsx";

/** Paste a key or an address, test it, choose a model: it is the default from the next message on. */
export function ProviderDialog({ onClose }: { onClose: () => void }): ReactNode {
  const [pasted, setPasted] = useState("");
  const [driver, setDriver] = useState<Driver>("anthropic");
  const [name, setName] = useState("");
  const [key, setKey] = useState("");
  const [baseUrl, setBaseUrl] = useState("");
  const [model, setModel] = useState("");
  const [test, setTest] = useState<ProviderTest | null>(null);
  const [problem, setProblem] = useState<string | null>(null);
  const [busy, setBusy] = useState(false);
  const found = guess(pasted);
  const isAddress = found?.kind === "server";
  const shownName = name || found?.name || driver;

  const paste = (value: string): void => {
    setPasted(value);
    setTest(null);
    setProblem(null);
    const next = guess(value);
    if (next !== null) setDriver(next.driver);
  };

  const work = async (act: () => Promise<void>): Promise<void> => {
    setBusy(true);
    setProblem(null);
    try {
      await act();
    } catch (error) {
      setProblem(sentence(error));
    } finally {
      setBusy(false);
    }
  };

  const draft = draftOf({ pasted, driver, baseUrl, key });
  const tryIt = async (): Promise<void> => {
    const result = await api.tryProvider(draft);
    if (!result.ok) {
      setProblem(result.message);
      return;
    }
    setTest(result);
    setModel(preferred(result.models));
  };
  const save = async (): Promise<void> => {
    const answer = await api.tryProvider({ ...draft, model });
    if (!answer.ok) {
      setProblem(answer.message);
      return;
    }
    await api.saveProvider(shownName, { ...draft, model, make_default: true });
    modelsChanged.set((count) => count + 1);
    await refreshProjects();
    toast(t("dialogs:model.connected", { model }));
    onClose();
  };

  const submit = (event: FormEvent): void => {
    event.preventDefault();
    void work(test === null ? tryIt : save);
  };

  return (
    <Dialog title={t("dialogs:model.title")} onClose={onClose}>
      <form className="form" onSubmit={submit}>
        <TextField
          label={t("dialogs:model.what")}
          placeholder={t("dialogs:model.example")}
          type={isAddress ? "text" : "password"}
          hint={t("dialogs:model.hint")}
          value={pasted}
          required
          autoFocus
          onChange={(event) => paste(event.target.value)}
        />
        {isAddress ? (
          <TextField
            label={t("dialogs:model.key")}
            type="password"
            placeholder={t("dialogs:model.noKey")}
            value={key}
            onChange={(event) => {
              setKey(event.target.value);
              setTest(null);
            }}
          />
        ) : null}
        <details className="more-fields">
          <summary>{t("dialogs:model.details")}</summary>
          <div className="form">
            <SelectField
              label={t("dialogs:model.protocol")}
              value={driver}
              onChange={(event) => {
                setDriver(event.target.value === "openai" ? "openai" : "anthropic");
                setTest(null);
              }}
            >
              <option value="anthropic">Anthropic Messages</option>
              <option value="openai">OpenAI Chat Completions</option>
            </SelectField>
            {isAddress ? null : (
              <TextField
                label={t("dialogs:model.address")}
                placeholder={t("dialogs:model.own")}
                value={baseUrl}
                onChange={(event) => {
                  setBaseUrl(event.target.value);
                  setTest(null);
                }}
              />
            )}
            <TextField
              label={t("dialogs:model.name")}
              placeholder={shownName}
              value={name}
              pattern="[a-z0-9][a-z0-9\-]{0,39}"
              hint={t("dialogs:model.nameHint")}
              onChange={(event) => setName(event.target.value)}
            />
          </div>
        </details>
        {test === null ? null : <ModelChoice test={test} model={model} onModel={setModel} />}
        {problem === null ? null : (
          <Notice tone="bad">
            <Sentence text={problem} />
          </Notice>
        )}
        <div className="form-acts">
          <Button onClick={onClose}>{t("common:cancel")}</Button>
          <Button
            type="submit"
            look="primary"
            busy={busy}
            disabled={pasted.trim() === "" || (test !== null && model.trim() === "")}
          >
            {t(test === null ? "dialogs:model.test" : "dialogs:model.save")}
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
  const { latency_ms: ms } = test;
  return (
    <>
      <Notice tone="ok">{test.message || (ms === null ? t("dialogs:model.answers") : t("dialogs:model.answersIn", { ms }))}</Notice>
      {test.models.length === 0 ? (
        <TextField
          label={t("dialogs:model.model")}
          placeholder={t("dialogs:model.modelName")}
          hint={t("dialogs:model.noList")}
          value={model}
          onChange={(event) => onModel(event.target.value)}
        />
      ) : (
        <SelectField label={t("dialogs:model.model")} value={model} onChange={(event) => onModel(event.target.value)}>
          {test.models.map((name) => (
            <option key={name} value={name}>
              {name}
            </option>
          ))}
        </SelectField>
      )}
    </>
  );
}
