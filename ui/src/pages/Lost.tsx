import type { ReactNode } from "react";
import { QuestionIcon } from "../design/icons.tsx";
import { Empty } from "../design/parts.tsx";
import { Header } from "../shell/Header.tsx";
import { linkTo } from "../state/router.ts";

export function Lost({ path, onMenu }: { path: string; onMenu: () => void }): ReactNode {
  return (
    <>
      <Header title="Not found" onMenu={onMenu} />
      <Empty icon={<QuestionIcon size={26} />} title="There is no such page">
        <p>
          The console has nothing at <code>{path}</code>.
        </p>
        <a className="button" {...linkTo({ page: "home" })}>
          Go home
        </a>
      </Empty>
    </>
  );
}
