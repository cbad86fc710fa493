import { type ReactNode, useEffect, useState } from "react";
import { api } from "../api/client.ts";
import { Button } from "../design/Button.tsx";
import { CheckIcon } from "../design/icons.tsx";
import { t } from "../i18n/index.ts";
import { modelsChanged, overlay } from "../shell/overlay.ts";
import { useStart } from "../shell/RailProject.tsx";
import { lacks } from "../state/rights.ts";
import { useStore } from "../state/store.ts";
import { me, type Workspace } from "../state/workspace.ts";

interface StepProps {
  mark: number;
  title: string;
  words: string;
  done?: boolean;
  children: ReactNode;
}

function Step({ mark, title, words, done = false, children }: StepProps): ReactNode {
  return (
    <li data-done={done}>
      <span className="step-mark">{done ? <CheckIcon size={15} role="img" aria-label={t("home:done")} /> : mark}</span>
      <span className="grow"><strong>{title}</strong><span>{words}</span></span>
      {children}
    </li>
  );
}

/** Where nothing ever ran: what leads to the first answer, and how far the reader is on that way. */
export function FirstSteps({ space }: { space: Workspace }): ReactNode {
  const admin = useStore(me)?.role === "admin";
  const changed = useStore(modelsChanged);
  const [model, setModel] = useState<string | null>(null);
  const { start, busy } = useStart();
  useEffect(() => {
    // Only admins may ask; without an answer the step simply stays to be done.
    if (admin) api.local().then((local) => setModel(local.default?.label ?? null), () => {});
  }, [admin, changed]);
  const project = space.projects.find((entry) => lacks(entry, "editor") === null);
  if (!admin && project === undefined) return <p className="lead first">{t("home:empty_member")}</p>;
  const connected = model === null ? t("home:step.model_words") : t("home:step.model_done", { model });
  const loaded = project === undefined ? t("home:step.folder_words") : t("home:step.folder_done", { count: space.projects.length });
  const next = (is: boolean): "primary" | "plain" => (is ? "primary" : "plain");
  return (
    <div className="first">
      <h2>{t("home:first")}</h2>
      <p className="lead">{t("home:first_words")}</p>
      <ol role="list" className="steps" data-testid="first-steps">
        {admin ? (
          <>
            <Step mark={1} title={t("home:step.model")} words={connected} done={model !== null}>
              <Button look={next(model === null)} onClick={() => overlay.set({ kind: "provider" })}>{t("home:step.model")}</Button>
            </Step>
            <Step mark={2} title={t("home:step.folder")} words={loaded} done={project !== undefined}>
              <Button look={next(project === undefined && model !== null)} onClick={() => overlay.set({ kind: "load" })}>
                {t("home:step.folder")}
              </Button>
            </Step>
          </>
        ) : null}
        <Step mark={admin ? 3 : 1} title={t("home:step.talk")} words={t("home:step.talk_words")}>
          {project && <Button look="primary" busy={busy} onClick={() => start(project.slug)}>{t("home:new")}</Button>}
        </Step>
      </ol>
    </div>
  );
}
