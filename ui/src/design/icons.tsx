/** The icons in use, under the names the console gives them. */
export {
  ArrowDown as JumpIcon, Bot as AgentIcon, ArrowUp as SendIcon, Columns2 as SplitIcon, PanelRight as InspectorIcon,
  Paperclip as AttachIcon, Check as CheckIcon, ChevronDown as ChevronIcon, ChevronRight as ForwardIcon,
  CircleAlert as AlertIcon, CloudOff as OfflineIcon, CircleHelp as QuestionIcon, CircleStop as StoppedIcon,
  Copy as CopyIcon, FileDiff as EditIcon, FilePlus2 as WriteIcon, FileText as ReadIcon,
  FolderClosed as DirectoryIcon, FolderPlus as FolderIcon, Folder as FolderHereIcon, Link2 as LinkIcon,
  FolderSearch as FindIcon, Ellipsis as MoreIcon, Globe as NetworkIcon, House as HomeIcon, Info as InfoIcon,
  Keyboard as KeyboardIcon, Lightbulb as ThinkingIcon, LockKeyhole as LockIcon, LogOut as SignOutIcon, Menu as MenuIcon,
  Monitor as HostIcon, Moon as DarkIcon, Play as ResumeIcon, Plug as ConnectIcon, Plus as PlusIcon,
  RotateCw as RetryIcon, ScrollText as AuditIcon, Search as SearchIcon, ShieldCheck as CageIcon, Hand as ApprovalIcon,
  ShieldOff as DeniedIcon, Sparkles as ModelIcon, Square as InterruptIcon, Sun as LightIcon,
  SquareTerminal as TerminalIcon, Trash2 as RemoveIcon, Wrench as ToolIcon, X as CloseIcon, Archive as ArchiveIcon,
  Pencil as RenameIcon, MessageSquareText as TranscriptIcon, FlaskConical as FixIcon, GitBranch as BranchIcon,
  History as HistoryIcon, Undo2 as UndoIcon, Users as UsersIcon, Settings as SettingsIcon, ChartColumn as UsageIcon,
  Logs as LogsIcon,
} from "lucide-react";
