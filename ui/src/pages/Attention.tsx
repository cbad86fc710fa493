import type { ReactNode } from "react";
import type { Question } from "../api/types.ts";
import { CheckIcon, QuestionIcon } from "../design/icons.tsx";
import { Empty } from "../design/parts.tsx";
import { approvalOf } from "../journal/approval.ts";
import { ApprovalCard } from "../session/ApprovalCard.tsx";
import { lacks } from "../state/rights.ts";
import { linkTo, sessionPlace } from "../state/router.ts";
import { findProject, findSession, type Workspace } from "../state/workspace.ts";
import { when } from "../text/format.ts";

/** All that waits for the reader, in every session, the riskiest first. */
export function AttentionList({ space }: { space: Workspace }): ReactNode {
  if (space.attention.length === 0)
    return <Empty icon={<CheckIcon size={26} />} title="Nothing waits for you" />;
  return (
    <div className="page" tabIndex={0}>
      <ol className="page-column waiting" data-testid="waiting">
        {space.attention.map((item) => (
          <li key={item.id}>
            <a className="waiting-of" {...linkTo(sessionPlace(item.project, item.session))}>
              <strong>{findSession(space, item.project, item.session)?.title ?? "Session"}</strong>
              <span className="muted">
                {item.project} · <time dateTime={item.created_at}>{when(item.created_at)}</time>
              </span>
            </a>
            <One item={item} space={space} />
          </li>
        ))}
      </ol>
    </div>
  );
}

function One({ item, space }: { item: Question; space: Workspace }): ReactNode {
  const approval = approvalOf(item.approval);
  if (approval === null)
    return (
      <a className="waiting-question" {...linkTo(sessionPlace(item.project, item.session))}>
        <QuestionIcon size={15} aria-hidden /> <span>{item.question}</span>
      </a>
    );
  const lacking = lacks(findProject(space, item.project), "editor");
  const cut = approval.more > 0 ? "Too long to be decided here: open the session to see all of it." : null;
  return (
    <ApprovalCard
      project={item.project}
      session={item.session}
      id={item.id}
      approval={approval}
      text={approval.subject}
      lacking={lacking ?? cut}
    />
  );
}
