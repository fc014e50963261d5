// The functions that add each command to the tree.
#pragma once

#include "cli/command.h"

namespace fanwire::cli {

void AddCatalogCommands(Command root);
void AddChannelCommands(Command root);
void AddCompletionCommand(Command root);
void AddConfigCommands(Command root);
void AddContextCommands(Command root);
void AddConnectionCommands(Command root);
void AddEngineCommands(Command root);
void AddLedgerCommand(Command root);
void AddLogLevelCommand(Command root);
void AddMcpCommand(Command root);
void AddPresenceCommand(Command root);
void AddPublishCommand(Command root);
void AddServiceCommands(Command root);
void AddTailCommand(Command root);
void AddTokenCommands(Command root);
void AddToolCommands(Command root);
void AddVersionCommand(Command root);
void AddWorkerCommands(Command root);

}  // namespace fanwire::cli
