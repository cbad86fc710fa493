import { type ReactNode, useState } from "react";
import { ApiError } from "../src/api/http.ts";
import { AnsiText } from "../src/design/AnsiText.tsx";
import { Button, IconButton } from "../src/design/Button.tsx";
import { CodeBlock } from "../src/design/CodeBlock.tsx";
import { Dialog } from "../src/design/Dialog.tsx";
import { DiffCount, DiffView } from "../src/design/DiffView.tsx";
import { ArchiveIcon, DirectoryIcon, EditIcon, FolderIcon, MoreIcon, PlusIcon, ReadIcon, RemoveIcon, RenameIcon } from "../src/design/icons.tsx";
import { Line, List } from "../src/design/List.tsx";
import { Menu } from "../src/design/Menu.tsx";
import { Badge, Dot, Empty, Kbd, Notice, SelectField, Skeleton, Spinner, TextField } from "../src/design/parts.tsx";
import { Face, Who } from "../src/design/People.tsx";
import { MenuItem } from "../src/design/Popover.tsx";
import { Sentence } from "../src/design/Sentence.tsx";
import { Segments } from "../src/design/Segments.tsx";
import { SplitPane } from "../src/design/SplitPane.tsx";
import { StateView } from "../src/design/StateView.tsx";
import { Strip } from "../src/design/Strip.tsx";
import { Tree, type TreeNode } from "../src/design/Tree.tsx";
import { toast } from "../src/state/toasts.ts";
import { parseDiff } from "../src/text/diff.ts";
import { Show } from "./Show.tsx";

const nothing = (): void => {};
const LOOKS = ["primary", "plain", "ghost", "danger"] as const;

export function Actions(): ReactNode {
  const [open, setOpen] = useState(false);
  const groups = [
    [
      { id: "rename", label: "Rename", icon: <RenameIcon size={15} aria-hidden />, keys: "R", onSelect: nothing },
      { id: "archive", label: "Archive", icon: <ArchiveIcon size={15} aria-hidden />, lacking: "This takes the role editor.", onSelect: nothing },
    ],
    [{ id: "remove", label: "Remove", icon: <RemoveIcon size={15} aria-hidden />, danger: true, onSelect: nothing }],
  ];
  return (
    <>
      {LOOKS.map((look) => (
        <Show key={look} name={`Button, ${look}`} row>
          <Button look={look}><PlusIcon size={15} aria-hidden /> Act</Button>
          <Button look={look} className="demo-hover">Hovered</Button>
          <Button look={look} className="demo-focus">Focused</Button>
          <Button look={look} busy>At work</Button>
          <Button look={look} disabled>Not now</Button>
          <Button look={look} small>Small</Button>
          <IconButton look={look} label={`More, ${look}`}><MoreIcon size={16} /></IconButton>
        </Show>
      ))}
      <Show name="Menu" row>
        <Menu label="Acts" groups={groups} anchor={(attributes) => <Button {...attributes}>Open a menu</Button>} />
        <div className="popover menu still" role="menu" aria-label="A menu that stands open">
          <MenuItem icon={<RenameIcon size={15} aria-hidden />}><span className="grow">Rename</span><Kbd>R</Kbd></MenuItem>
          <MenuItem icon={<ArchiveIcon size={15} aria-hidden />} aria-disabled>Archive</MenuItem>
          <MenuItem icon={<RemoveIcon size={15} aria-hidden />} className="danger">Remove</MenuItem>
        </div>
      </Show>
      <Show name="Dialog" row>
        <Button onClick={() => setOpen(true)}>Open a dialog</Button>
        {open ? (
          <Dialog title="Forget this project?" onClose={() => setOpen(false)} foot={<Button look="danger" onClick={() => setOpen(false)}>Forget</Button>}>
            <p>Its folder stays as it is. Sessions and their transcripts are archived.</p>
          </Dialog>
        ) : null}
      </Show>
      <Show name="Toast" row>
        <Button onClick={() => toast("Saved.", "ok")}>It worked</Button>
        <Button onClick={() => toast("The session is archived.", "info", { label: "Undo", run: nothing })}>With an act</Button>
        <Button onClick={() => toast("`project.yaml` line 3: `model` is not a name.", "bad")}>It did not</Button>
      </Show>
    </>
  );
}

export function Inputs(): ReactNode {
  return (
    <div className="show-grid">
      <TextField label="Empty" placeholder="What goes in here" hint="Said in one sentence." />
      <TextField label="Filled" defaultValue="claude-4" />
      <TextField label="Focused" defaultValue="typing" className="input demo-focus" />
      <TextField label="Refused" defaultValue="not a host" aria-invalid hint={<Sentence text="`not a host` is no name of a host: letters, digits, hyphens." />} />
      <TextField label="Not now" defaultValue="fixed" disabled />
      <SelectField label="Choice" hint="The browser's own list."><option>enforce</option><option>ask</option></SelectField>
    </div>
  );
}

const PARTS = ["Files", "Changes", "Policy"] as const;

export function Ways(): ReactNode {
  const [form, setForm] = useState("Side by side");
  return (
    <>
      <Show name="Strip">
        <Strip label="Parts of a project" items={PARTS} current="Files" words={(part) => part} placeOf={() => ({ page: "home" })} />
      </Show>
      <Show name="Segments" row>
        <Segments aria-label="Form of the diff" of={["Side by side", "Inline"]} now={form} words={(each) => each} onChoose={setForm} />
      </Show>
      <Show name="Badge, count, dot, key, face" row>
        <Badge>plain</Badge><Badge tone="accent">asks</Badge><Badge tone="ok">done</Badge><Badge tone="bad">failed</Badge>
        <span className="count">7</span><span className="count accent">2</span>
        {["idle", "queued", "running", "waiting", "ok", "failed"].map((state) => <Dot key={state} state={state} label={state} />)}
        <Kbd>Ctrl</Kbd><Kbd>K</Kbd><Face who={{ id: "ada", name: "Ada Lovelace" }} /><Spinner />
      </Show>
    </>
  );
}

const icon = <ReadIcon size={15} aria-hidden />;
const NODES: readonly TreeNode[] = [
  { id: "src", label: "src", icon: <DirectoryIcon size={15} aria-hidden />, children: [
    { id: "src/main.py", label: "main.py", icon, note: <Badge tone="accent">3</Badge> },
    { id: "src/util", label: "util", icon: <DirectoryIcon size={15} aria-hidden />, children: [], busy: true },
  ] },
  { id: "tests", label: "tests", icon: <DirectoryIcon size={15} aria-hidden />, children: [] },
  { id: "README.md", label: "README.md", icon },
];

export function Structure(): ReactNode {
  const [open, setOpen] = useState<ReadonlySet<string>>(new Set(["src"]));
  const [selected, setSelected] = useState<string | null>("src/main.py");
  const toggle = (id: string, wanted: boolean): void => {
    const next = new Set(open);
    if (wanted) next.add(id);
    else next.delete(id);
    setOpen(next);
  };
  return (
    <>
      <Show name="List">
        <List label="Lines">
          <Line to={{ page: "home" }} lead={<Dot state="running" />} title="Port the importer" below="shop · claude-4"><span className="muted">Running</span></Line>
          <Line lead={<Face who={{ id: "bo", name: null }} />} title={<Who who={{ id: "bo", name: "Bo", email: "bo@example.com" }} />}><Badge>viewer</Badge></Line>
        </List>
      </Show>
      <Show name="Tree in a split pane">
        <div className="demo-split">
          <SplitPane id="demo" label="Width of the tree" initial={240} min={160} max={480} phone="first"
            first={<Tree label="Files" nodes={NODES} open={open} onOpen={toggle} selected={selected} onSelect={setSelected} />}
            second={<Empty icon={<EditIcon size={24} aria-hidden />} title={selected ?? "Nothing chosen"}><p>The handle moves by pointer and by arrow keys.</p></Empty>} />
        </div>
      </Show>
    </>
  );
}

const PATCH = "--- a/till.py\n+++ b/till.py\n@@ -1,4 +1,5 @@\n def total(lines):\n-    return sum(lines)\n+    # Taxes come last.\n+    return round(sum(lines), 2)\n \n def main():\n";
const ANSI = "\u001b[32mPASSED\u001b[0m tests/test_till.py\n\u001b[1;31mFAILED\u001b[0m tests/test_tax.py \u001b[2m0.4 s\u001b[0m";

export function Text(): ReactNode {
  const [file] = parseDiff(PATCH);
  return (
    <>
      <Show name="Code"><CodeBlock language="python" text={'def total(lines: list[int]) -> str:\n    """Sum, in words."""\n    return f"{sum(lines):.2f} EUR"'} /></Show>
      <Show name="Terminal output"><pre className="output" tabIndex={0}><AnsiText text={ANSI} /></pre></Show>
      {file === undefined ? null : (
        <>
          <Show name="Diff, inline"><DiffCount file={file} /><DiffView file={file} /></Show>
          <Show name="Diff, side by side"><DiffView file={file} split /></Show>
        </>
      )}
    </>
  );
}

const trouble = (status: number, message: string): ApiError => new ApiError(status, "demo", message);
const STATES = [
  ["Loading", null, null],
  ["Offline", trouble(0, "The daemon does not answer. Is `kaged` running?"), null],
  ["No permission", trouble(403, "Your role in shop is viewer; this takes the role owner."), null],
  ["Missing", trouble(404, "There is no project `shop`."), null],
  ["Error", trouble(500, "`journal.db` is full: free some space below /var/lib."), null],
  ["Kept from before", trouble(0, "The daemon does not answer."), "Three sessions"],
] as const;

export function Feedback(): ReactNode {
  return (
    <>
      <Show name="Notice">
        <Notice>A cage of this project is still open.</Notice>
        <Notice tone="accent">This folder has no project file yet.</Notice>
        <Notice tone="ok">It answers in 240 ms.</Notice>
        <Notice tone="bad">The key was refused: check that all of it was copied.</Notice>
      </Show>
      <div className="show-grid states">
        {STATES.map(([name, problem, value]) => (
          <Show key={name} name={name}>
            <StateView of={{ problem, value, retry: async () => {} }} lines={3}>{(words) => <p>{words}</p>}</StateView>
          </Show>
        ))}
        <Show name="Empty">
          <Empty icon={<FolderIcon size={26} aria-hidden />} title="No files yet"><p>What the agent writes appears here.</p><Button look="primary">New file</Button></Empty>
        </Show>
        <Show name="Skeleton"><Skeleton lines={4} /></Show>
      </div>
    </>
  );
}
