import type { ReactNode } from "react";
import { Face, Who } from "../design/People.tsx";
import { Popover } from "../design/Popover.tsx";
import { t } from "../i18n/index.ts";
import { useStore } from "../state/store.ts";
import { me } from "../state/workspace.ts";
import { useSession } from "./context.ts";

const SHOWN = 3;

/** Who else has this session open right now, by name when asked; nothing when nobody has. */
export function AlsoHere(): ReactNode {
  const { live } = useSession();
  const self = useStore(me);
  const others = useStore(live.here).filter((user) => user.id !== self?.id);
  if (others.length === 0) return null;
  const words = t("session:alsoNames", { names: others.map(({ id, name }) => (name === null ? id : `${name} (${id})`)).join(", ") });
  const more = others.length - SHOWN;
  return (
    <Popover
      end
      label={t("session:also")}
      anchor={(attributes) => (
        <button type="button" className="also-here" aria-label={words} title={words} data-testid="also-here"
          {...attributes}>
          {others.slice(0, SHOWN).map((user) => <Face key={user.id} who={user} />)}
          {more > 0 ? <span className="face">+{more}</span> : null}
        </button>
      )}
    >
      {() => (
        <ul role="list" className="also-list">
          {others.map((user) => (
            <li key={user.id}>
              <Face who={user} />
              <Who who={user} />
            </li>
          ))}
        </ul>
      )}
    </Popover>
  );
}
