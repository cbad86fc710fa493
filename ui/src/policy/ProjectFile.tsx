import { lazy, type ReactNode, Suspense, useEffect, useRef, useState } from "react";
import { api } from "../api/client.ts";
import { sentence } from "../api/http.ts";
import type { Project } from "../api/types.ts";
import { Button } from "../design/Button.tsx";
import { CheckIcon } from "../design/icons.tsx";
import { Notice, Problem, Skeleton } from "../design/parts.tsx";
import { Sentences } from "../design/Sentence.tsx";
import { useWork } from "../design/work.ts";
import { t } from "../i18n/index.ts";
import { overlay } from "../shell/overlay.ts";
import { lacks } from "../state/rights.ts";
import { toast } from "../state/toasts.ts";
import { placeProject } from "../state/workspace.ts";
import "./policy.css";

const Editor = lazy(() => import("../files/Editor.tsx"));
const FILE = ".kaged/project.yaml";
const PAUSE_MS = 350;

type Checked = Pick<Project, "problems" | "cage">;

/** The project file as YAML: tried while it is written, and what it would mean in words beside it. */
export function ProjectFile({ project }: { project: Project }): ReactNode {
  const { slug, hash } = project;
  const lacking = lacks(project, "owner");
  const [seen, setSeen] = useState<string | null>(null);
  const [text, setText] = useState("");
  const [checked, setChecked] = useState<Checked>(project);
  const { busy, problem, run } = useWork();
  const written = useRef("");
  const changed = seen !== null && text !== seen;

  const open = async (): Promise<void> => {
    const found = (await api.projectFiles(slug)).files.find(({ path }) => path === FILE)?.text ?? "";
    setSeen(found);
    setText(found);
  };
  // What is being written stays when the file changes elsewhere; saving then says so.
  useEffect(() => {
    if (written.current === "") void run(open);
  }, [slug, hash]);
  useEffect(() => {
    written.current = changed ? text : "";
    if (!changed) {
      setChecked(project);
      return undefined;
    }
    let late = false;
    const timer = setTimeout(() => {
      api.checkProject(slug, text).then(
        (found) => late || setChecked(found),
        (error: unknown) => late || setChecked({ problems: [sentence(error)], cage: null }),
      );
    }, PAUSE_MS);
    return () => {
      late = true;
      clearTimeout(timer);
    };
  }, [slug, text, changed, project]);

  const save = async (): Promise<void> => {
    if (!changed || seen === null || checked.problems.length > 0) return;
    placeProject(await api.writeProject(slug, text, seen));
    setSeen(text);
    toast(t("policy:saved"));
    overlay.set({ kind: "trust", slug });
  };

  return (
    <section className="policy-file" aria-label={t("policy:file")}>
      <div className="notice-line">
        <h2 className="page-title grow">{t("policy:file")}</h2>
        {changed ? (
          <Button small onClick={() => setText(seen)}>
            {t("policy:undo")}
          </Button>
        ) : null}
        <Button
          small
          look="primary"
          busy={busy}
          disabled={!changed || checked.problems.length > 0 || lacking !== null}
          title={lacking ?? undefined}
          onClick={() => void run(save)}
        >
          {t("policy:save")}
        </Button>
      </div>
      <Problem text={problem} retry={() => run(open)} again={t("policy:again")} />
      {seen === null && problem === null ? <Skeleton lines={8} /> : null}
      {seen === null ? null : (
        <div className="policy-halves">
          <div className="card policy-text">
            <Suspense fallback={<Skeleton lines={8} />}>
              <Editor
                calm
                path={FILE}
                text={text}
                onChange={lacking === null ? setText : undefined}
                onSave={() => void run(save)}
              />
            </Suspense>
          </div>
          <Meaning checked={checked} />
        </div>
      )}
    </section>
  );
}

/** What the text means, or why it means nothing. */
function Meaning({ checked: { problems, cage } }: { checked: Checked }): ReactNode {
  return (
    <div className="policy-meaning" role="status" data-testid="policy-check" data-ok={problems.length === 0}>
      {problems.length > 0 ? (
        <Notice tone="bad">
          {t("policy:problems", { count: problems.length })}
          <Sentences of={problems} className="problems" />
        </Notice>
      ) : (
        <p className="policy-good">
          <CheckIcon size={15} /> {cage?.words ?? t("policy:noCage")}
        </p>
      )}
      <Sentences of={cage?.explain ?? []} className="policy-words" />
    </div>
  );
}
