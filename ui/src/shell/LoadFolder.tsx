import { type FormEvent, type ReactNode, useEffect, useState } from "react";
import { api } from "../api/client.ts";
import { ApiError, sentence } from "../api/http.ts";
import type { Clone, Project } from "../api/types.ts";
import { Button } from "../design/Button.tsx";
import { CodeBlock } from "../design/CodeBlock.tsx";
import { Dialog } from "../design/Dialog.tsx";
import { Notice, Problem, TextField } from "../design/parts.tsx";
import { useWork } from "../design/work.ts";
import { t } from "../i18n/index.ts";
import { Sentence } from "../design/Sentence.tsx";
import { str } from "../journal/events.ts";
import { go } from "../state/router.ts";
import { placeProject, refreshSessions } from "../state/workspace.ts";
import { bytes } from "../text/format.ts";
import { overlay } from "./overlay.ts";

const LOOK_MS = 700;

/** A folder on the host, or a git repository by its URL, becomes a project; without a project file in the folder, a
 * proposed one is shown first. Closing the dialog cancels a clone. */
export function LoadFolder({ onClose }: { onClose: () => void }): ReactNode {
  const [path, setPath] = useState("");
  const [proposal, setProposal] = useState<string | null>(null);
  const [clone, setClone] = useState<Clone | null>(null);
  const { busy, problem, setProblem, run } = useWork();
  const isUrl = /^[a-z][a-z0-9+.-]*:\/\/|^[^/ ]+@[^/ ]+:/i.test(path.trim());
  const failed = (error: unknown): void => setProblem(sentence(error));

  useEffect(() => {
    if (clone?.state !== "running") return undefined;
    const lost = (error: unknown): void => {
      setClone(null);
      failed(error);
    };
    const timer = setTimeout(() => void api.clone(clone.id).then(setClone, lost), LOOK_MS);
    return () => clearTimeout(timer);
  }, [clone]);

  useEffect(() => {
    if (clone === null || clone.state === "running") return;
    setClone(null);
    if (clone.project === null) setProblem(clone.problem ?? t("dialogs:load.cancelled"));
    else api.project(clone.project).then(loaded, failed);
  }, [clone]);

  const leave = (): void => {
    if (clone !== null) api.cancelClone(clone.id).catch(() => {});
    onClose();
  };

  const loaded = (project: Project): void => {
    placeProject(project);
    refreshSessions(project.slug).catch(() => {});
    go({ page: "project", project: project.slug });
    overlay.set(project.trust === "trusted" ? null : { kind: "trust", slug: project.slug });
  };

  const load = async (): Promise<void> => {
    try {
      if (isUrl) setClone(await api.cloneProject(path.trim()));
      else loaded(await api.loadProject({ path: path.trim(), ...(proposal === null ? {} : { create: true }) }));
    } catch (error) {
      const missing = error instanceof ApiError && error.code === "project_missing" && proposal === null;
      if (!missing) throw error;
      setProposal(str(error.details, "proposal"));
    }
  };
  const submit = (event: FormEvent): void => {
    event.preventDefault();
    void run(load);
  };
  const edit = (text: string): void => {
    setPath(text);
    setProposal(null);
    setProblem(null);
  };

  return (
    <Dialog title={t("dialogs:load.title")} onClose={leave} wide={proposal !== null}>
      <form id="load-folder" className="form" onSubmit={submit}>
        <TextField label={t("dialogs:load.what")} placeholder="/home/you/code/project"
          hint={
            isUrl
              ? t("dialogs:load.cloned")
              : t("dialogs:load.folder")
          }
          readOnly={busy || clone !== null} value={path} required autoFocus onChange={(event) => edit(event.target.value)} />
        {proposal === null ? null : (
          <>
            <Notice tone="accent">
              <Sentence text={t("dialogs:load.proposal")} />
            </Notice>
            <CodeBlock text={proposal} language="yaml" />
          </>
        )}
        {clone === null ? null : (
          <Notice tone="accent">
            {t("dialogs:load.cloning", { slug: clone.slug, size: bytes(clone.bytes), progress: clone.progress || t("dialogs:load.connecting") })}
          </Notice>
        )}
        <Problem text={problem} />
        <div className="form-acts">
          <Button onClick={leave}>{t("common:cancel")}</Button>
          <Button type="submit" look="primary" busy={busy || clone !== null} disabled={path.trim() === ""}>
            {t(isUrl ? "dialogs:load.clone" : proposal === null ? "dialogs:load.load" : "dialogs:load.create")}
          </Button>
        </div>
      </form>
    </Dialog>
  );
}
