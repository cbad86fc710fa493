import { type ReactNode, useState } from "react";
import ChangesTab from "../../files/ChangesTab.tsx";
import type { TabProps } from "../ProjectPage.tsx";

/** What is changed in the project's folder. */
export default function Changes({ project: { slug } }: TabProps): ReactNode {
  const [path, setPath] = useState<string | null>(null);
  return <ChangesTab slug={slug} path={path} onPick={setPath} />;
}
