import type { ReactNode } from "react";
import FilesTab from "../../files/FilesTab.tsx";
import { go } from "../../state/router.ts";
import type { TabProps } from "../ProjectPage.tsx";

/** The files of the project; the address names the one that is looked at. */
export default function Files({ project: { slug }, place }: TabProps): ReactNode {
  const pick = (path: string | null): void =>
    go({ page: "project", project: slug, tab: "files", ...(path === null ? {} : { file: { path } }) });
  return <FilesTab slug={slug} path={place.file?.path ?? null} line={place.file?.line} onPick={pick} />;
}
