import { type ReactNode, StrictMode } from "react";
import { createRoot } from "react-dom/client";
import "./styles/tokens.css";
import "./styles/base.css";
import "./styles/controls.css";
import "./styles/shell.css";
import "./styles/pages.css";
import "./styles/session.css";
import "./styles/tools.css";
import "./styles/agents.css";
import "./styles/network.css";
import "./styles/checkpoints.css";
import "./styles/text.css";
import { adoptKeyFromFragment } from "./api/key.ts";
import { App } from "./App.tsx";
import { routePath } from "./base.ts";
import { startLanguage } from "./i18n/index.ts";
import { keepFocus } from "./shell/focus.ts";
import { startRouter } from "./state/router.ts";
import { startTheme } from "./state/theme.ts";

// Browsers ask for the icon again when the address changes: relative, it would then lie elsewhere.
for (const icon of document.querySelectorAll<HTMLLinkElement>("link[rel=icon], link[rel=manifest]")) icon.href = String(icon.href);

adoptKeyFromFragment();
startTheme();
startRouter();
keepFocus();
await startLanguage();

/** `/_design` needs no daemon: it shows what there is, not what runs. */
async function page(): Promise<ReactNode> {
  if (!__DESIGN__ || routePath(window.location) !== "/_design") return <App />;
  const { Design } = await import("../gallery/Design.tsx");
  return <Design />;
}

const root = document.getElementById("root");
if (root !== null) {
  createRoot(root).render(
    <StrictMode>
      {await page()}
    </StrictMode>,
  );
}
