// The texts of the console in both languages. Data only; the words are those of docs/GLOSSARY.md and docs/OPERATIONS.md.
//
// `{name}` is replaced by a value. A text with `one` and `other` depends on a count. A part in brackets is left out if
// one of its values is not known. See `t` in language.js.

export const TEXTS = {
  en: {
    // The page
    title: 'Contacts console', skip: 'Skip to the content', sections: 'Sections', otherLanguage: 'Português',
    nav: { now: 'Now', deadLetters: 'Dead-lettered messages', deadLettersShort: 'Dead-lettered', find: 'Find', runbook: 'Runbook' },
    theme: { auto: 'Theme: as the system', light: 'Theme: light', dark: 'Theme: dark' },
    loopback: 'this machine', readOnly: 'may only read',
    footer: 'Times are in the time zone {zone}. This page is from a process with the role {role}, version {version}.',
    close: 'Close', cancel: 'Cancel', dismiss: 'Dismiss', refresh: 'Refresh', tryAgain: 'Try again', any: 'Any', time: 'Time',
    yes: 'Yes', no: 'No', notAll: 'Not all', notKnown: 'Not known', days: { one: '{count} day', other: '{count} days' },
    copied: 'Copied', notCopied: 'Not copied: select it yourself', copyCommand: 'Copy the command line', sameByCommand: 'The same by command line',
    counting: 'Reading the queue…', reading: 'Reading…',
    lost: { title: 'This console does not answer.', detail: 'What you see is from before {time}. It tries again every few seconds.' },

    // Now
    states: {
      working: { word: 'Working', sentence: 'Everything works.', effect: 'Changes are accepted and applied.' },
      impaired: { word: 'Impaired', sentence: 'Something is wrong.', effect: '' },
      stopped: { word: 'Stopped', sentence: 'The service does not work.', effect: '' },
      unknown: { word: 'Not known', sentence: 'Nothing is known yet.', effect: 'The first values come within a few seconds.' },
      alone: { sentence: 'Whether changes are accepted and applied is not known.', effect: 'This console reads no producer and no consumer. The setting admin.console_targets names their admin ports.' },
    },
    severities: { critical: 'critical', warning: 'warning' },
    since: 'since {time}, for {duration}', seenBy: '{processes} of {of} processes see it.', doFirst: 'Do first:', reasonGiven: 'The reason given:', openRunbook: 'Runbook: what to do', openDeadLetters: 'Show these messages',
    followsFromIt: 'This also explains: {list}.', alsoWrong: 'Also wrong', worthALook: 'Worth a look, by day',
    findings: {
      database_down: {
        short: 'the database does not answer', title: 'The database does not answer.',
        effect: 'Writes are accepted and wait in RabbitMQ. Reads are answered 503. Nothing that was accepted is lost.',
        do: 'bring PostgreSQL back. Restart nothing else: the consumers go on by themselves. Watch the disk of RabbitMQ, the backlog grows.',
        standalone: { effect: 'Writes are accepted and wait in the queue file. Reads are answered 503. Nothing that was accepted is lost.', do: 'look at the disk and at the rights of the data folder.' },
      },
      schema_old: {
        short: 'the schema is too old', title: 'The database has an older schema than this version needs.',
        effect: 'Processes of this version do not start. Accepted changes wait; nothing is lost.',
        do: 'run contacts migrate of the new version, or roll the release back.',
      },
      broker_down: {
        short: 'RabbitMQ does not answer', title: 'RabbitMQ cannot be reached.',
        effect: 'Writes are answered 503, and clients must repeat them. Reads still work. What was accepted is on the broker’s disks.',
        do: 'bring RabbitMQ back with its volumes. Every process connects by itself within seconds. Never start it with empty volumes.',
        standalone: { title: 'The queue file cannot be written.', effect: 'Writes are answered 503, and clients must repeat them. Reads still work. What was accepted is in the file.', do: 'look at the disk and at the rights of the data folder.' },
      },
      broker_blocked: {
        short: 'RabbitMQ takes no messages', title: 'RabbitMQ takes no messages: its memory or disk alarm is on.',
        effect: 'Writes are answered 503. Reads still work, and waiting changes are still applied.',
        do: 'if no consumer runs, start one first. Otherwise enlarge the volume or the memory of RabbitMQ. Never purge a queue.',
      },
      publisher_full: {
        short: 'the producer’s queue is full', title: 'More writes wait for RabbitMQ than a producer may hold.',
        effect: 'Further writes are answered 503, and clients must repeat them. What was accepted is safe.',
        do: 'find out why RabbitMQ confirms slowly: its disk, the network, or a node that is down. More producers do not help.',
      },
      queue_full: {
        short: 'a queue is full', title: 'A queue is full, and RabbitMQ refuses its messages.',
        effect: 'Writes are answered 503, and clients must repeat them. What was accepted is safe.',
        do: 'raise the limit of the policy that limits the queue. Do not remove the policy, and never purge the queue.',
      },
      no_consumers: {
        short: 'no consumer takes messages', title: 'No consumer takes messages from the work queue[: {messages} wait].',
        effect: 'Writes are accepted and wait. Clients see old data and operations that stay pending.',
        do: 'start one consumer. One is enough to apply everything, if late.',
      },
      consumers_paused: {
        short: 'the consumers have paused', title: 'The consumers have paused.',
        effect: 'Writes are accepted and wait. The consumers go on by themselves when the cause ends.',
        do: 'read the reason of the part “Database” below: the consumers cannot write to it.',
      },
      backlog_grows: {
        short: 'the backlog grows', title: 'The backlog has grown for five minutes[, to {messages} messages].',
        effect: 'More changes are accepted than applied, so the data is later and later. Nothing is lost.',
        do: 'look for a slow database or for locks. If the database is fast, add consumers.',
      },
      data_late: {
        short: 'the data is late', title: 'The data is late[, by {age}].',
        effect: 'Clients see old data. The objective is 5 s.',
        do: 'if the database or the last consumer was down before, wait: the backlog is being applied. Otherwise look for locks and a slow disk.',
      },
      dead_letters_burst: {
        short: 'many messages fail', title: 'Many messages fail: [{count} ]dead-lettered within five minutes[, most with the reason {reason}].',
        effect: 'Their clients were answered 202. The messages wait complete in the dead letter queue; the other changes are applied.',
        do: 'stop the source: a release, another program, or a client. Replay only after the cause is repaired.',
      },
      dead_letters_wait: {
        short: 'dead-lettered messages wait', title: 'Dead-lettered messages wait for an operator[: {count}][, the oldest for {oldest}].',
        effect: 'They stay until somebody replays, fixes or discards them. They may lose against newer changes.',
        do: 'nothing at night. By day, treat them by their reason.',
      },
      requests_fail: {
        short: 'requests are answered 5xx', title: 'Requests fail[: {share} are answered 5xx].',
        effect: 'Clients must repeat their requests, with the same Idempotency-Key.',
        do: 'look at the parts below: is the broker or the database not ready? If both are, read the log of the producer.',
      },
      events_late: {
        short: 'events are late', title: 'The events are late[, by {lag}].',
        effect: 'Services that read the events work with old data. The events wait in the database; none is lost.',
        do: 'find the consumer that publishes the events, and read in its log why it cannot.',
      },
      process_unreachable: {
        short: 'a process does not answer', title: { one: 'A process does not answer[: {process}].', other: '{count} of {total} processes do not answer.' },
        effect: 'The others go on. The changes that it held are delivered again to another process.',
        do: 'look whether it runs: its pod, its last log line, its exit code. 78 means wrong settings or a wrong schema.',
      },
      component_not_ready: {
        short: 'a part is not ready', title: { one: 'A part is not ready[: {component}][ of {process}].', other: '{count} parts are not ready, one of them: {component} of {process}.' },
        effect: 'The process runs, but cannot do all of its work.',
        do: 'read the reason that it gives, and look it up in the runbook.',
      },
      other: { short: 'something is wrong', title: 'Something is wrong: {code}.', effect: 'This page is older than the service and does not know this finding.', do: 'open the runbook.' },
    },
    tiles: {
      accepting: 'Are we accepting?', late: 'How late is the data?', waits: 'What waits?', fails: 'What fails?',
      notKnown: 'No process has told it yet.', acceptingDetail: '{rate} changes a second',
      lateNothing: 'No change was applied just now.', lateDetail: 'Half within {p50}, 99 % within {p99}',
      messages: { one: 'message', other: 'messages' }, waitsDetail: '{work} in the work queue, {retry} in the retry queue',
      deadLettered: { one: 'dead-lettered', other: 'dead-lettered' }, failsDetail: '{rate} a second now.', failsOldest: 'The oldest waits for {age}.',
    },
    whichDependency: 'Which dependency is it?', nothingKnown: 'No process has answered yet.',
    processes: { one: '{count} process', other: '{count} processes' }, thisProcess: 'this process',
    parts: { database: 'Database', queue: 'Broker, for writes', publisher: 'Broker, for retries', worker: 'Workers', process: 'Process', 'queue file': 'Queue file' },
    ready: 'Ready', notReady: 'Not ready', readyOf: '{ready} of {all}', allReady: 'Every part is ready', noAnswer: 'Does not answer',
    partsNotReady: { one: '{count} part is not ready', other: '{count} parts are not ready' },
    columns: {
      part: 'Part', state: 'State', ready: 'Ready', why: 'Why, since when', process: 'Process', role: 'Role', version: 'Version',
      reason: 'Reason', operation: 'Operation', messages: 'Messages', lastHour: 'Last hour', oldest: 'Oldest', newest: 'Newest',
      message: 'Message', contact: 'Contact', firstFailed: 'First failed', lastFailed: 'Last failed', attempts: 'Attempts', replays: 'Replays', size: 'Size',
    },
    plots: {
      heading: 'The last hour', newest: 'now', nothing: 'Not known yet', notKnown: 'not known', asTable: 'As a table', objective: 'objective: 5 s',
      rates: { title: 'Changes', unit: 'per second' }, ages: { title: 'Age when applied', unit: 'p50 and p99' }, depths: { title: 'Messages that wait', unit: 'in each queue' },
      series: { accepted: 'accepted', applied: 'applied', failed: 'failed', age_p50: 'half within', age_p99: '99 % within', work: 'work', retry: 'retry', dead_letters: 'dead-lettered' },
      summary: '{label}: now {newest}, at most {highest} at {time}.', summaryNothing: '{label}: not known.',
    },

    // Dead-lettered messages
    deadLetters: {
      all: { one: '{count} dead-lettered message', other: '{count} dead-lettered messages' },
      selected: { one: '{count} of {total} dead-lettered messages', other: '{count} of {total} dead-lettered messages' },
    },
    readAt: 'Read at {time}', groups: 'By reason and operation', messagesTitle: 'Messages, oldest failure first', showMessages: 'Show the messages', showMore: 'Show more',
    shown: '{shown} of {count} shown', markMessage: 'Mark the message {id}',
    noneAtAll: 'No dead-lettered messages', noneAtAllHelp: 'Every change was applied, or waits to be applied.', noneSelected: 'No message meets this filter',
    queueGrew: { one: 'Since then {count} message was added.', other: 'Since then {count} messages were added.' },
    queueShrank: { one: 'Since then {count} message left the queue.', other: 'Since then {count} messages left the queue.' },
    usually: 'Usually:', readOnlyHelp: 'Your key may only read. To change something it needs the scope operate:write.',
    filter: { title: 'Filter', reason: 'Reason', operation: 'Operation', since: 'Failed since', until: 'Failed before', contact: 'Contact id', id: 'Message id', apply: 'Filter', clear: 'Show all', timeHint: '2026-11-29' },
    selection: {
      all: 'All messages that are in the queue now', reason: 'reason {value}', operation: 'operation {value}', since: 'failed since {value}', until: 'failed before {value}',
      contact: 'contact {value}', id: 'message {value}', limit: 'at most {value}',
    },
    actions: {
      all: { one: 'The only message', other: 'All {count} messages' }, selected: { one: 'The selected message', other: 'The {count} selected messages' },
      marked: { one: '{count} marked message', other: '{count} marked messages' }, unmark: 'Unmark',
    },
    reasons: {
      contact_not_found: { what: 'The create of the contact never arrived, or arrived too late.', do: 'check whether the contact exists now. If yes, replay; else discard.' },
      contact_deleted: { what: 'The contact was deleted: another change won.', do: 'discard. The status of the operation shows it to the client.' },
      already_exists: { what: 'Another operation created this contact: another change won.', do: 'discard. The status of the operation shows it to the client.' },
      version_conflict: { what: 'The version in If-Match was not the current one: another change won.', do: 'discard. The status of the operation shows it to the client.' },
      invalid: { what: 'A producer of another version, or another program, sent an invalid value.', do: 'open a message, fix it and retry it.' },
      rejected_by_database: { what: 'A constraint or a type of the database refused the value.', do: 'correct the schema, then replay; or fix the value.' },
      undecodable: { what: 'This is not a message of contacts.', do: 'find the program that publishes to the queue, then discard.' },
      unknown_schema: { what: 'The message is from a newer version.', do: 'update the consumers, then replay.' },
      unknown_operation: { what: 'The message is from a newer version.', do: 'update the consumers, then replay.' },
      poison: { what: 'The message crashed the program that applied it.', do: 'archive a copy and report it. Replay after the error is repaired.' },
      delivery_limit: { what: 'The message was delivered too often without an answer; it may crash the process.', do: 'archive a copy and report it. Replay after the error is repaired.' },
      expired: { what: 'The message is older than the operations that SQL still stores.', do: 'it may have taken effect: compare it with the contact, then discard.' },
      unknown: { what: 'The message has no reason: RabbitMQ or another program put it here.', do: 'open it. A pack of changes is replayed; a message of another program is discarded.' },
    },

    // One message
    message: {
      title: 'Message: {operation}', why: 'Why it failed', body: 'What it says', history: 'Its history',
      hidden: 'hidden', reveal: 'Show personal data', revealHelp: 'Personal values are hidden. To show them is logged, with the name of your key.', revealDenied: 'Personal values are hidden. To show them a key needs the scope operate:write.',
      shown: 'The personal data is shown.', undecodable: 'The body cannot be decoded. It may contain personal data, so it is hidden.',
      edit: 'Fix and retry', editHelp: 'The fixed message is sent as a new operation and keeps its place among the changes of its contact. The old message leaves the queue.', send: 'Send the fixed message',
      retried: 'The fixed message was sent, and the old one has left the queue.', follow: 'Follow the new operation',
      headers: { one: '{count} header', other: '{count} headers' }, headersTitle: 'Headers',
      facts: { firstFailed: 'First failed', lastFailed: 'Last failed', attempts: 'Attempts', replays: 'Replays', operationId: 'Operation', contactId: 'Contact', traceId: 'Trace', size: 'Size' },
    },
    fields: { name: 'Name', phone: 'Phone', phoneHelp: 'Brazilian, with area code', email: 'E-mail', emailHelp: 'May be empty' },

    // Jobs
    job: {
      region: 'Job', progress: 'Progress', started: 'Started', by: 'By {operator}, started at {time}',
      progressText: '{done} of {count} ({percent} %)',
      pause: 'Pause', resume: 'Go on', cancel: 'Stop',
      replay: {
        title: 'Replay messages', verb: 'Replay…', send: { one: 'Replay {count} message', other: 'Replay {count} messages' }, heading: { one: 'Replay of {count} message', other: 'Replay of {count} messages' },
        help: 'Each message is published to the work queue again. An operation takes effect once, however often it is replayed. Repair the cause first, or they fail again.',
      },
      archive: {
        title: 'Archive messages', verb: 'Archive…', send: { one: 'Collect {count} message', other: 'Collect {count} messages' }, heading: { one: 'Archive of {count} message', other: 'Archive of {count} messages' },
        help: 'The messages are copied to a file and stay in the queue. Afterwards you can discard exactly these. The file contains personal data.',
        save: { one: 'Save the file with {count} message', other: 'Save the file with {count} messages' }, again: 'Save the file again',
        saved: { one: '{file} has {count} message. Keep it where only you can read it.', other: '{file} has {count} messages. Keep it where only you can read it.' },
        fewer: 'The file has {lines} messages, not {selected}: the others have left the queue.',
        discard: 'Discard what is in the file…',
      },
      discard: {
        title: 'Discard messages', verb: 'Discard…', send: { one: 'Discard {count} message', other: 'Discard {count} messages' }, heading: { one: 'Discard of {count} message', other: 'Discard of {count} messages' },
        help: 'Discarded messages are removed for good. The status of their operations does not change.', archiveFirst: 'Archive them first', archived: 'Exactly the messages of the archive, and no newer ones.',
      },
      states: { selecting: 'reading', canary: 'canary', running: 'running', paused: 'paused', waiting: 'waiting for results', done: 'done', cancelled: 'stopped', failed: 'failed' },
      explain: {
        selecting: 'The queue is read. Nothing is changed yet.',
        canary: 'One message has gone first, alone. The others follow only if it is applied.',
        running: 'A message leaves the queue only after its replay is confirmed.',
        paused: 'Nothing is sent, and others can use the queue. What is not yet done is still in the queue.',
        waiting: 'All messages are sent. The results are being read.',
        done: 'Everything of this selection is done.', failedAgain: { one: '{count} message failed again and is in the queue again, with its new reason.', other: '{count} messages failed again and are in the queue again, with their new reasons.' }, cancelled: 'It was stopped. What was not done is still in the queue.',
        failed: 'It did not finish. What was not done is still in the queue.', archive: 'The archive is ready. Save it as a file.',
      },
      lost: {
        restarted: 'The console was restarted in the middle of your job', ended: 'The result of your job is not known here',
        left: { one: '{count} message of its selection is in the queue now.', other: '{count} messages of its selection are in the queue now.' },
        safe: 'What was confirmed is done. To go on is safe: an operation takes effect once.', goOn: 'Go on with these…',
      },
    },
    outcomes: { applied: 'applied', superseded: 'superseded', failed_again: 'failed again', not_known: 'not known yet' },
    nothingSelected: 'No message is selected any more. Somebody else may have treated them.', andMore: 'and {count} more groups',
    messagesWord: { one: 'message', other: 'messages' },
    canary: 'One message first, as a canary', canaryHelp: 'The others follow only if it is applied.',
    rate: 'Messages a second, at most', rateHelp: 'At this rate it takes {duration} or longer.', rateInvalid: 'A whole number from 1 to 100,000.',
    consent: 'To agree, type the number of messages: {count}', consentHelp: 'If the selection has more messages by then, nothing happens, and you are asked again.', consentWrong: 'Type {count}.',

    // Find
    find: {
      title: 'Find a change', label: 'Operation id, contact id or trace id', hint: 'Operation id, contact id, trace id or traceparent', send: 'Find', help: 'Shows the life of a change: accepted, tried, applied or failed, with the times. It shows no personal data.',
      searching: 'Searching…', invalid: 'This is not an operation id, a contact id, a trace id or a traceparent.', nothing: 'Nothing was found', searched: 'Searched: {places}.', nothingHelp: 'A change that waits in the work queue is not in SQL yet. Operations that were pruned are no longer known.',
      kinds: { operation: 'This is an operation.', contact: 'This is a contact.', trace: 'This is a trace.' }, count: { one: '{count} change.', other: '{count} changes, the newest first.' },
    },
    places: { operations: 'operations in SQL', 'dead letter queue': 'dead letter queue' },
    steps: {
      accepted: 'Accepted', published: 'Published to the work queue', retried: 'Retried', dead_lettered: 'Dead-lettered', replayed: 'Replayed', applied: 'Applied',
      superseded: 'Superseded: a newer change had been applied', failed: 'Failed', expired: 'Expired', waits: 'Waits to be applied',
    },
    status: { pending: 'Pending', applied: 'Applied', superseded: 'Superseded', failed: 'Failed', expired: 'Expired', unknown: 'Not known' },
    timeNotKnown: 'time not known', times: { one: 'once', other: '{count} times' },
    life: {
      operationId: 'Operation', contactId: 'Contact', traceId: 'Trace', caller: 'Caller', attempts: 'Attempts', why: 'Why', message: 'Message', openMessage: 'Open the dead-lettered message',
      contactLive: 'The contact exists', contactDeleted: 'The contact was deleted', id: 'Id', version: 'Version', created: 'Created', updated: 'Last changed',
    },

    runbook: { contents: 'Sections of the runbook', note: 'As it is in this version.', table: 'Table', documents: 'Documents', operations: 'Operating contacts', deadLetters: 'Treating dead-lettered messages', reasons: 'Runbook: each reason' },

    // Problems and the key
    problems: {
      other: 'The console answered with status {status}.',
      offline: { title: 'This console does not answer.', detail: 'Check the connection, then try again.' },
      offline_write: { title: 'This console does not answer.', detail: 'It is not known whether the act was done. Look before you try again.' },
      queue_busy: { title: 'Somebody else reads the dead letter queue now.', detail: 'Only one can read it at a time: a job, another console or dlq-drain. Try again in a few seconds.' },
      job_running: { title: 'A job is running.', detail: 'One job at a time: wait for its end, or stop it.' },
      selection_changed: { title: 'The selection now has more messages.', detail: 'Nothing was changed. Look at the new number and decide again.' },
      archive_incomplete: { title: 'The archive is incomplete, so it was not saved.', detail: 'Save it again.' },
    },
    key: {
      title: 'Key of the console', label: 'Key', send: 'Use this key', help: 'Only this tab keeps the key, until you close the tab.', forget: 'Forget the key',
      needed: 'The console needs a key with the scope operate:read. It is not a key of the API.', refused: 'The console does not accept this key.', invalid: 'A key has only printable ASCII characters and no spaces.',
    },
    shortcuts: {
      title: 'Keyboard shortcuts', on: 'Use the keys without a modifier',
      keys: { n: 'Now', d: 'Dead-lettered messages', f: 'Find', r: 'Runbook', '/': 'Find: into the box', '?': 'This help', arrows: 'In a plot: another time. Page Up and Page Down move five minutes' },
    },
  },

  'pt-BR': {
    // The page
    title: 'Console de contacts', skip: 'Ir para o conteúdo', sections: 'Seções', otherLanguage: 'English',
    nav: { now: 'Agora', deadLetters: 'Mensagens com falha', deadLettersShort: 'Com falha', find: 'Buscar', runbook: 'Runbook' },
    theme: { auto: 'Tema: como o sistema', light: 'Tema: claro', dark: 'Tema: escuro' },
    loopback: 'esta máquina', readOnly: 'só pode ler',
    footer: 'Os horários estão no fuso {zone}. Esta página vem de um processo com o papel {role}, versão {version}.',
    close: 'Fechar', cancel: 'Cancelar', dismiss: 'Dispensar', refresh: 'Atualizar', tryAgain: 'Tentar de novo', any: 'Todos', time: 'Hora',
    yes: 'Sim', no: 'Não', notAll: 'Nem todas', notKnown: 'Não se sabe', days: { one: '{count} dia', other: '{count} dias' },
    copied: 'Copiado', notCopied: 'Não copiado: selecione você mesmo', copyCommand: 'Copiar a linha de comando', sameByCommand: 'O mesmo na linha de comando',
    counting: 'Lendo a fila…', reading: 'Lendo…',
    lost: { title: 'Este console não responde.', detail: 'O que você vê é de antes de {time}. Ele tenta de novo a cada poucos segundos.' },

    // Now
    states: {
      working: { word: 'Funcionando', sentence: 'Tudo funciona.', effect: 'As alterações são aceitas e aplicadas.' },
      impaired: { word: 'Com problemas', sentence: 'Há algo errado.', effect: '' },
      stopped: { word: 'Parado', sentence: 'O serviço não funciona.', effect: '' },
      unknown: { word: 'Não se sabe', sentence: 'Ainda não se sabe nada.', effect: 'Os primeiros valores chegam em poucos segundos.' },
      alone: { sentence: 'Não se sabe se as alterações são aceitas e aplicadas.', effect: 'Este console não lê nenhum producer e nenhum consumer. A configuração admin.console_targets indica as portas admin deles.' },
    },
    severities: { critical: 'crítico', warning: 'aviso' },
    since: 'desde {time}, há {duration}', seenBy: '{processes} de {of} processos veem isso.', doFirst: 'Faça primeiro:', reasonGiven: 'O motivo informado:', openRunbook: 'Runbook: o que fazer', openDeadLetters: 'Mostrar estas mensagens',
    followsFromIt: 'Isto também explica: {list}.', alsoWrong: 'Também errado', worthALook: 'Para ver durante o dia',
    findings: {
      database_down: {
        short: 'o banco de dados não responde', title: 'O banco de dados não responde.',
        effect: 'As escritas são aceitas e esperam no RabbitMQ. As leituras recebem 503. Nada do que foi aceito se perde.',
        do: 'recupere o PostgreSQL. Não reinicie mais nada: os consumers continuam sozinhos. Observe o disco do RabbitMQ, o backlog cresce.',
        standalone: { effect: 'As escritas são aceitas e esperam no arquivo da fila. As leituras recebem 503. Nada do que foi aceito se perde.', do: 'veja o disco e as permissões da pasta de dados.' },
      },
      schema_old: {
        short: 'o esquema é antigo demais', title: 'O esquema do banco de dados é mais antigo do que esta versão precisa.',
        effect: 'Processos desta versão não iniciam. As alterações aceitas esperam; nada se perde.',
        do: 'execute contacts migrate da nova versão, ou volte à versão anterior.',
      },
      broker_down: {
        short: 'o RabbitMQ não responde', title: 'Não é possível acessar o RabbitMQ.',
        effect: 'As escritas recebem 503, e os clientes devem repeti-las. As leituras ainda funcionam. O que foi aceito está nos discos do broker.',
        do: 'recupere o RabbitMQ com os seus volumes. Cada processo se conecta sozinho em segundos. Nunca o inicie com volumes vazios.',
        standalone: { title: 'Não é possível gravar no arquivo da fila.', effect: 'As escritas recebem 503, e os clientes devem repeti-las. As leituras ainda funcionam. O que foi aceito está no arquivo.', do: 'veja o disco e as permissões da pasta de dados.' },
      },
      broker_blocked: {
        short: 'o RabbitMQ não aceita mensagens', title: 'O RabbitMQ não aceita mensagens: o alarme de memória ou de disco está ligado.',
        effect: 'As escritas recebem 503. As leituras ainda funcionam, e as alterações que esperam ainda são aplicadas.',
        do: 'se nenhum consumer está rodando, inicie um primeiro. Senão, aumente o volume ou a memória do RabbitMQ. Nunca esvazie uma fila.',
      },
      publisher_full: {
        short: 'a fila do producer está cheia', title: 'Mais escritas esperam pelo RabbitMQ do que um producer pode guardar.',
        effect: 'Outras escritas recebem 503, e os clientes devem repeti-las. O que foi aceito está seguro.',
        do: 'descubra por que o RabbitMQ confirma devagar: o disco, a rede ou um nó parado. Mais producers não ajudam.',
      },
      queue_full: {
        short: 'uma fila está cheia', title: 'Uma fila está cheia, e o RabbitMQ recusa as mensagens dela.',
        effect: 'As escritas recebem 503, e os clientes devem repeti-las. O que foi aceito está seguro.',
        do: 'aumente o limite da policy que limita a fila. Não remova a policy, e nunca esvazie a fila.',
      },
      no_consumers: {
        short: 'nenhum consumer recebe mensagens', title: 'Nenhum consumer recebe mensagens da fila de trabalho[: {messages} esperam].',
        effect: 'As escritas são aceitas e esperam. Os clientes veem dados antigos e operações que continuam pendentes.',
        do: 'inicie um consumer. Um basta para aplicar tudo, mesmo que tarde.',
      },
      consumers_paused: {
        short: 'os consumers estão em pausa', title: 'Os consumers estão em pausa.',
        effect: 'As escritas são aceitas e esperam. Os consumers continuam sozinhos quando a causa termina.',
        do: 'leia abaixo o motivo da parte “Banco de dados”: os consumers não conseguem gravar nele.',
      },
      backlog_grows: {
        short: 'o backlog cresce', title: 'O backlog cresce há cinco minutos[ e chegou a {messages} mensagens].',
        effect: 'Mais alterações são aceitas do que aplicadas, por isso os dados ficam cada vez mais atrasados. Nada se perde.',
        do: 'procure um banco de dados lento ou bloqueios. Se o banco é rápido, acrescente consumers.',
      },
      data_late: {
        short: 'os dados estão atrasados', title: 'Os dados estão atrasados[: {age}].',
        effect: 'Os clientes veem dados antigos. O objetivo é 5 s.',
        do: 'se o banco de dados ou o último consumer esteve parado, espere: o backlog está sendo aplicado. Senão, procure bloqueios e um disco lento.',
      },
      dead_letters_burst: {
        short: 'muitas mensagens falham', title: 'Muitas mensagens falham[: {count}] em cinco minutos[, a maioria com o motivo {reason}].',
        effect: 'Os clientes receberam 202. As mensagens esperam completas na fila de mensagens com falha; as outras alterações são aplicadas.',
        do: 'pare a origem: uma nova versão, outro programa ou um cliente. Reenvie só depois de corrigir a causa.',
      },
      dead_letters_wait: {
        short: 'mensagens com falha esperam', title: 'Mensagens com falha esperam por um operador[: {count}][, a mais antiga há {oldest}].',
        effect: 'Elas ficam até que alguém as reenvie, corrija ou descarte. Elas podem perder para alterações mais recentes.',
        do: 'nada à noite. Durante o dia, trate-as conforme o motivo.',
      },
      requests_fail: {
        short: 'requisições recebem 5xx', title: 'Há requisições que falham[: {share} recebem 5xx].',
        effect: 'Os clientes devem repetir as requisições, com a mesma Idempotency-Key.',
        do: 'veja as partes abaixo: o broker ou o banco de dados não está pronto? Se os dois estão, leia o log do producer.',
      },
      events_late: {
        short: 'os eventos estão atrasados', title: 'Os eventos estão atrasados[: {lag}].',
        effect: 'Serviços que leem os eventos trabalham com dados antigos. Os eventos esperam no banco de dados; nenhum se perde.',
        do: 'encontre o consumer que publica os eventos e leia no log por que ele não consegue.',
      },
      process_unreachable: {
        short: 'um processo não responde', title: { one: 'Um processo não responde[: {process}].', other: '{count} de {total} processos não respondem.' },
        effect: 'Os outros continuam. As alterações que ele tinha são entregues de novo a outro processo.',
        do: 'veja se ele está rodando: o pod, a última linha do log, o código de saída. 78 significa configuração ou esquema errado.',
      },
      component_not_ready: {
        short: 'uma parte não está pronta', title: { one: 'Uma parte não está pronta[: {component}][ de {process}].', other: '{count} partes não estão prontas, uma delas: {component} de {process}.' },
        effect: 'O processo está rodando, mas não consegue fazer todo o seu trabalho.',
        do: 'leia o motivo que ela informa e procure-o no runbook.',
      },
      other: { short: 'há algo errado', title: 'Há algo errado: {code}.', effect: 'Esta página é mais antiga que o serviço e não conhece este achado.', do: 'abra o runbook.' },
    },
    tiles: {
      accepting: 'Estamos aceitando?', late: 'Qual é o atraso dos dados?', waits: 'O que espera?', fails: 'O que falha?',
      notKnown: 'Nenhum processo informou ainda.', acceptingDetail: '{rate} alterações por segundo',
      lateNothing: 'Nenhuma alteração foi aplicada agora.', lateDetail: 'Metade em até {p50}, 99 % em até {p99}',
      messages: { one: 'mensagem', other: 'mensagens' }, waitsDetail: '{work} na fila de trabalho, {retry} na fila de novas tentativas',
      deadLettered: { one: 'com falha', other: 'com falha' }, failsDetail: '{rate} por segundo agora.', failsOldest: 'A mais antiga espera há {age}.',
    },
    whichDependency: 'Qual dependência é?', nothingKnown: 'Nenhum processo respondeu ainda.',
    processes: { one: '{count} processo', other: '{count} processos' }, thisProcess: 'este processo',
    parts: { database: 'Banco de dados', queue: 'Broker, para escritas', publisher: 'Broker, para retentativas', worker: 'Workers', process: 'Processo', 'queue file': 'Arquivo da fila' },
    ready: 'Pronto', notReady: 'Não está pronto', readyOf: '{ready} de {all}', allReady: 'Todas as partes estão prontas', noAnswer: 'Não responde',
    partsNotReady: { one: '{count} parte não está pronta', other: '{count} partes não estão prontas' },
    columns: {
      part: 'Parte', state: 'Estado', ready: 'Prontos', why: 'Por que, desde quando', process: 'Processo', role: 'Papel', version: 'Versão',
      reason: 'Motivo', operation: 'Operação', messages: 'Mensagens', lastHour: 'Última hora', oldest: 'Mais antiga', newest: 'Mais recente',
      message: 'Mensagem', contact: 'Contato', firstFailed: 'Primeira falha', lastFailed: 'Última falha', attempts: 'Tentativas', replays: 'Reenvios', size: 'Tamanho',
    },
    plots: {
      heading: 'A última hora', newest: 'agora', nothing: 'Ainda não se sabe', notKnown: 'não se sabe', asTable: 'Como tabela', objective: 'objetivo: 5 s',
      rates: { title: 'Alterações', unit: 'por segundo' }, ages: { title: 'Idade ao aplicar', unit: 'p50 e p99' }, depths: { title: 'Mensagens que esperam', unit: 'em cada fila' },
      series: { accepted: 'aceitas', applied: 'aplicadas', failed: 'com falha', age_p50: 'metade em até', age_p99: '99 % em até', work: 'trabalho', retry: 'tentativas', dead_letters: 'com falha' },
      summary: '{label}: agora {newest}, no máximo {highest} às {time}.', summaryNothing: '{label}: não se sabe.',
    },

    // Dead-lettered messages
    deadLetters: {
      all: { one: '{count} mensagem com falha', other: '{count} mensagens com falha' },
      selected: { one: '{count} de {total} mensagens com falha', other: '{count} de {total} mensagens com falha' },
    },
    readAt: 'Lido às {time}', groups: 'Por motivo e operação', messagesTitle: 'Mensagens, a falha mais antiga primeiro', showMessages: 'Mostrar as mensagens', showMore: 'Mostrar mais',
    shown: '{shown} de {count} mostradas', markMessage: 'Marcar a mensagem {id}',
    noneAtAll: 'Nenhuma mensagem com falha', noneAtAllHelp: 'Cada alteração foi aplicada, ou espera para ser aplicada.', noneSelected: 'Nenhuma mensagem corresponde a este filtro',
    queueGrew: { one: 'Desde então entrou {count} mensagem.', other: 'Desde então entraram {count} mensagens.' },
    queueShrank: { one: 'Desde então saiu {count} mensagem da fila.', other: 'Desde então saíram {count} mensagens da fila.' },
    usually: 'Em geral:', readOnlyHelp: 'Sua chave só pode ler. Para mudar algo ela precisa do escopo operate:write.',
    filter: { title: 'Filtro', reason: 'Motivo', operation: 'Operação', since: 'Falhou desde', until: 'Falhou antes de', contact: 'Id do contato', id: 'Id da mensagem', apply: 'Filtrar', clear: 'Mostrar todas', timeHint: '2026-11-29' },
    selection: {
      all: 'Todas as mensagens que estão na fila agora', reason: 'motivo {value}', operation: 'operação {value}', since: 'falhou desde {value}', until: 'falhou antes de {value}',
      contact: 'contato {value}', id: 'mensagem {value}', limit: 'no máximo {value}',
    },
    actions: {
      all: { one: 'A única mensagem', other: 'Todas as {count} mensagens' }, selected: { one: 'A mensagem selecionada', other: 'As {count} mensagens selecionadas' },
      marked: { one: '{count} mensagem marcada', other: '{count} mensagens marcadas' }, unmark: 'Desmarcar',
    },
    reasons: {
      contact_not_found: { what: 'A criação do contato nunca chegou, ou chegou tarde demais.', do: 'verifique se o contato existe agora. Se sim, reenvie; senão, descarte.' },
      contact_deleted: { what: 'O contato foi excluído: outra alteração venceu.', do: 'descarte. O status da operação mostra isso ao cliente.' },
      already_exists: { what: 'Outra operação criou este contato: outra alteração venceu.', do: 'descarte. O status da operação mostra isso ao cliente.' },
      version_conflict: { what: 'A versão em If-Match não era a atual: outra alteração venceu.', do: 'descarte. O status da operação mostra isso ao cliente.' },
      invalid: { what: 'Um producer de outra versão, ou outro programa, enviou um valor inválido.', do: 'abra uma mensagem, corrija e tente de novo.' },
      rejected_by_database: { what: 'Uma restrição ou um tipo do banco de dados recusou o valor.', do: 'corrija o esquema e reenvie; ou corrija o valor.' },
      undecodable: { what: 'Esta não é uma mensagem de contacts.', do: 'encontre o programa que publica na fila, depois descarte.' },
      unknown_schema: { what: 'A mensagem é de uma versão mais nova.', do: 'atualize os consumers, depois reenvie.' },
      unknown_operation: { what: 'A mensagem é de uma versão mais nova.', do: 'atualize os consumers, depois reenvie.' },
      poison: { what: 'A mensagem derrubou o programa que a aplicava.', do: 'arquive uma cópia e relate o erro. Reenvie depois da correção.' },
      delivery_limit: { what: 'A mensagem foi entregue vezes demais sem resposta; ela pode derrubar o processo.', do: 'arquive uma cópia e relate o erro. Reenvie depois da correção.' },
      expired: { what: 'A mensagem é mais antiga que as operações que o SQL ainda guarda.', do: 'ela pode ter tido efeito: compare com o contato, depois descarte.' },
      unknown: { what: 'A mensagem não tem motivo: o RabbitMQ ou outro programa a pôs aqui.', do: 'abra-a. Um pacote de alterações é reenviado; uma mensagem de outro programa é descartada.' },
    },

    // One message
    message: {
      title: 'Mensagem: {operation}', why: 'Por que falhou', body: 'O que ela diz', history: 'O seu histórico',
      hidden: 'oculto', reveal: 'Mostrar dados pessoais', revealHelp: 'Os valores pessoais estão ocultos. Mostrá-los fica no log, com o nome da sua chave.', revealDenied: 'Os valores pessoais estão ocultos. Para mostrá-los a chave precisa do escopo operate:write.',
      shown: 'Os dados pessoais estão à mostra.', undecodable: 'O corpo não pode ser decodificado. Ele pode ter dados pessoais, por isso está oculto.',
      edit: 'Corrigir e tentar de novo', editHelp: 'A mensagem corrigida é enviada como uma nova operação e mantém o seu lugar entre as alterações do contato. A mensagem antiga sai da fila.', send: 'Enviar a mensagem corrigida',
      retried: 'A mensagem corrigida foi enviada, e a antiga saiu da fila.', follow: 'Acompanhar a nova operação',
      headers: { one: '{count} cabeçalho', other: '{count} cabeçalhos' }, headersTitle: 'Cabeçalhos',
      facts: { firstFailed: 'Primeira falha', lastFailed: 'Última falha', attempts: 'Tentativas', replays: 'Reenvios', operationId: 'Operação', contactId: 'Contato', traceId: 'Trace', size: 'Tamanho' },
    },
    fields: { name: 'Nome', phone: 'Telefone', phoneHelp: 'Do Brasil, com DDD', email: 'E-mail', emailHelp: 'Pode ficar vazio' },

    // Jobs
    job: {
      region: 'Tarefa', progress: 'Progresso', started: 'Iniciado', by: 'Por {operator}, iniciado às {time}',
      progressText: '{done} de {count} ({percent} %)',
      pause: 'Pausar', resume: 'Continuar', cancel: 'Parar',
      replay: {
        title: 'Reenviar mensagens', verb: 'Reenviar…', send: { one: 'Reenviar {count} mensagem', other: 'Reenviar {count} mensagens' }, heading: { one: 'Reenvio de {count} mensagem', other: 'Reenvio de {count} mensagens' },
        help: 'Cada mensagem é publicada de novo na fila de trabalho. Uma operação só tem efeito uma vez, mesmo reenviada muitas vezes. Corrija a causa antes, ou elas falham de novo.',
      },
      archive: {
        title: 'Arquivar mensagens', verb: 'Arquivar…', send: { one: 'Reunir {count} mensagem', other: 'Reunir {count} mensagens' }, heading: { one: 'Arquivo de {count} mensagem', other: 'Arquivo de {count} mensagens' },
        help: 'As mensagens são copiadas para um arquivo e ficam na fila. Depois você pode descartar exatamente estas. O arquivo tem dados pessoais.',
        save: { one: 'Salvar o arquivo com {count} mensagem', other: 'Salvar o arquivo com {count} mensagens' }, again: 'Salvar o arquivo de novo',
        saved: { one: '{file} tem {count} mensagem. Guarde-o onde só você possa ler.', other: '{file} tem {count} mensagens. Guarde-o onde só você possa ler.' },
        fewer: 'O arquivo tem {lines} mensagens, não {selected}: as outras saíram da fila.',
        discard: 'Descartar o que está no arquivo…',
      },
      discard: {
        title: 'Descartar mensagens', verb: 'Descartar…', send: { one: 'Descartar {count} mensagem', other: 'Descartar {count} mensagens' }, heading: { one: 'Descarte de {count} mensagem', other: 'Descarte de {count} mensagens' },
        help: 'Mensagens descartadas são removidas para sempre. O status das suas operações não muda.', archiveFirst: 'Arquivar antes', archived: 'Exatamente as mensagens do arquivo, e nenhuma mais nova.',
      },
      states: { selecting: 'lendo', canary: 'canário', running: 'em andamento', paused: 'em pausa', waiting: 'esperando resultados', done: 'concluído', cancelled: 'parado', failed: 'falhou' },
      explain: {
        selecting: 'A fila está sendo lida. Nada mudou ainda.',
        canary: 'Uma mensagem foi antes, sozinha. As outras só seguem se ela for aplicada.',
        running: 'Uma mensagem só sai da fila depois que o seu reenvio é confirmado.',
        paused: 'Nada é enviado, e outros podem usar a fila. O que ainda não foi feito continua na fila.',
        waiting: 'Todas as mensagens foram enviadas. Os resultados estão sendo lidos.',
        done: 'Tudo desta seleção está feito.', failedAgain: { one: '{count} mensagem falhou de novo e está outra vez na fila, com o novo motivo.', other: '{count} mensagens falharam de novo e estão outra vez na fila, com os novos motivos.' }, cancelled: 'Foi parado. O que não foi feito continua na fila.',
        failed: 'Não terminou. O que não foi feito continua na fila.', archive: 'O arquivo está pronto. Salve-o.',
      },
      lost: {
        restarted: 'O console foi reiniciado no meio da sua tarefa', ended: 'Aqui não se sabe o resultado da sua tarefa',
        left: { one: '{count} mensagem da seleção está na fila agora.', other: '{count} mensagens da seleção estão na fila agora.' },
        safe: 'O que foi confirmado está feito. Continuar é seguro: uma operação só tem efeito uma vez.', goOn: 'Continuar com estas…',
      },
    },
    outcomes: { applied: 'aplicadas', superseded: 'superadas', failed_again: 'falharam de novo', not_known: 'ainda não se sabe' },
    nothingSelected: 'Nenhuma mensagem está mais selecionada. Outra pessoa pode tê-las tratado.', andMore: 'e mais {count} grupos',
    messagesWord: { one: 'mensagem', other: 'mensagens' },
    canary: 'Uma mensagem antes, como canário', canaryHelp: 'As outras só seguem se ela for aplicada.',
    rate: 'Mensagens por segundo, no máximo', rateHelp: 'Neste ritmo leva {duration} ou mais.', rateInvalid: 'Um número inteiro de 1 a 100.000.',
    consent: 'Para concordar, digite o número de mensagens: {count}', consentHelp: 'Se a seleção tiver mais mensagens até lá, nada acontece, e você é perguntado de novo.', consentWrong: 'Digite {count}.',

    // Find
    find: {
      title: 'Buscar uma alteração', label: 'Id de operação, id de contato ou id de trace', hint: 'Id de operação, de contato, de trace ou traceparent', send: 'Buscar', help: 'Mostra a vida de uma alteração: aceita, tentada, aplicada ou com falha, com os horários. Não mostra dados pessoais.',
      searching: 'Buscando…', invalid: 'Isto não é um id de operação, de contato, de trace nem um traceparent.', nothing: 'Nada foi encontrado', searched: 'Onde se buscou: {places}.', nothingHelp: 'Uma alteração que espera na fila de trabalho ainda não está no SQL. Operações antigas que foram removidas já não são conhecidas.',
      kinds: { operation: 'Isto é uma operação.', contact: 'Isto é um contato.', trace: 'Isto é um trace.' }, count: { one: '{count} alteração.', other: '{count} alterações, a mais recente primeiro.' },
    },
    places: { operations: 'operações no SQL', 'dead letter queue': 'fila de mensagens com falha' },
    steps: {
      accepted: 'Aceita', published: 'Publicada na fila de trabalho', retried: 'Nova tentativa', dead_lettered: 'Posta na fila de mensagens com falha', replayed: 'Reenviada', applied: 'Aplicada',
      superseded: 'Superada: uma alteração mais recente já tinha sido aplicada', failed: 'Falhou', expired: 'Expirada', waits: 'Espera para ser aplicada',
    },
    status: { pending: 'Pendente', applied: 'Aplicada', superseded: 'Superada', failed: 'Falhou', expired: 'Expirada', unknown: 'Não se sabe' },
    timeNotKnown: 'hora não conhecida', times: { one: 'uma vez', other: '{count} vezes' },
    life: {
      operationId: 'Operação', contactId: 'Contato', traceId: 'Trace', caller: 'Quem pediu', attempts: 'Tentativas', why: 'Por quê', message: 'Mensagem', openMessage: 'Abrir a mensagem com falha',
      contactLive: 'O contato existe', contactDeleted: 'O contato foi excluído', id: 'Id', version: 'Versão', created: 'Criado', updated: 'Última alteração',
    },

    runbook: { contents: 'Seções do runbook', note: 'Como é nesta versão, em inglês.', table: 'Tabela', documents: 'Documentos', operations: 'Operação', deadLetters: 'Tratamento de mensagens com falha', reasons: 'Runbook: cada motivo' },

    // Problems and the key
    problems: {
      other: 'O console respondeu com o status {status}.',
      offline: { title: 'Este console não responde.', detail: 'Verifique a conexão e tente de novo.' },
      offline_write: { title: 'Este console não responde.', detail: 'Não se sabe se a ação foi feita. Verifique antes de tentar de novo.' },
      queue_busy: { title: 'Outra pessoa lê a fila de mensagens com falha agora.', detail: 'Só um pode ler por vez: uma tarefa, outro console ou dlq-drain. Tente de novo em alguns segundos.' },
      job_running: { title: 'Há uma tarefa em andamento.', detail: 'Uma tarefa por vez: espere o fim dela, ou pare-a.' },
      selection_changed: { title: 'A seleção agora tem mais mensagens.', detail: 'Nada mudou. Veja o novo número e decida de novo.' },
      archive_incomplete: { title: 'O arquivo chegou incompleto, por isso não foi salvo.', detail: 'Salve-o de novo.' },
    },
    key: {
      title: 'Chave do console', label: 'Chave', send: 'Usar esta chave', help: 'Só esta aba guarda a chave, até que você a feche.', forget: 'Esquecer a chave',
      needed: 'O console precisa de uma chave com o escopo operate:read. Não é uma chave da API.', refused: 'O console não aceita esta chave.', invalid: 'Uma chave só tem caracteres ASCII visíveis e nenhum espaço.',
    },
    shortcuts: {
      title: 'Atalhos do teclado', on: 'Usar as teclas sem modificador',
      keys: { n: 'Agora', d: 'Mensagens com falha', f: 'Buscar', r: 'Runbook', '/': 'Buscar: ir para a caixa', '?': 'Esta ajuda', arrows: 'Em um gráfico: outra hora. Page Up e Page Down movem cinco minutos' },
    },
  },
};
