import { type FormEvent, type ReactNode, useEffect, useState } from "react";
import { api } from "../api/client.ts";
import { ApiError, sentence } from "../api/http.ts";
import type { Clone, Project } from "../api/types.ts";
import { Button } from "../design/Button.tsx";
import { CodeBlock } from "../design/CodeBlock.tsx";
import { t } from "../i18n/index.ts";
import { Dialog } from "../design/Dialog.tsx";
import { Notice, TextField } from "../design/parts.tsx";
import { str } from "../journal/events.ts";
import { go } from "../state/router.ts";
import { placeProject, refreshSessions } from "../state/workspace.ts";
import { bytes } from "../text/format.ts";
import { overlay } from "./overlay.ts";
import { Sentence } from "../design/Sentence.tsx";

const LOOK_MS = 700;

/** A folder on the host, or a git repository by its URL, becomes a project; without a project file in the folder, a
 * proposed one is shown first. Closing the dialog cancels a clone. */
export function LoadFolder({ onClose }: { onClose: () => void }): ReactNode {
  const [path, setPath] = useState("");
  const [proposal, setProposal] = useState<string | null>(null);
  const [problem, setProblem] = useState<string | null>(null);
  const [busy, setBusy] = useState(false);
  const [clone, setClone] = useState<Clone | null>(null);
  const isUrl = /^[a-z][a-z0-9+.-]*:\/\/|^[^/ ]+@[^/ ]+:/i.test(path.trim());

  useEffect(() => {
    if (clone?.state !== "running") return undefined;
    const timer = setTimeout(() => {
      api.clone(clone.id).then(setClone, (error: unknown) => {
        setClone(null);
        setProblem(sentence(error));
      });
    }, LOOK_MS);
    return () => clearTimeout(timer);
  }, [clone]);

  useEffect(() => {
    if (clone === null || clone.state === "running") return;
    setClone(null);
    if (clone.project === null) setProblem(clone.problem ?? t("dialogs:load.cancelled"));
    else api.project(clone.project).then(loaded, (error: unknown) => setProblem(sentence(error)));
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

  const submit = async (event: FormEvent): Promise<void> => {
    event.preventDefault();
    setBusy(true);
    setProblem(null);
    try {
      if (isUrl) setClone(await api.cloneProject(path.trim()));
      else loaded(await api.loadProject({ path: path.trim(), ...(proposal === null ? {} : { create: true }) }));
    } catch (error) {
      if (error instanceof ApiError && error.code === "project_missing" && proposal === null) {
        setProposal(proposalIn(error));
      } else setProblem(sentence(error));
    } finally {
      setBusy(false);
    }
  };

  return (
    <Dialog title={t("dialogs:load.title")} onClose={leave} wide={proposal !== null}>
      <form id="load-folder" className="form" onSubmit={(event) => void submit(event)}>
        <TextField
          label={t("dialogs:load.what")}
          placeholder="/home/you/code/project"
          hint={t(isUrl ? "dialogs:load.cloned" : "dialogs:load.folder")}
          readOnly={busy || clone !== null}
          value={path}
          required
          autoFocus
          onChange={(event) => {
            setPath(event.target.value);
            setProposal(null);
            setProblem(null);
          }}
        />
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
        {problem === null ? null : (
          <Notice tone="bad">
            <Sentence text={problem} />
          </Notice>
        )}
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

function proposalIn(error: ApiError): string {
  const { details } = error;
  return str(details, "proposal");
}
