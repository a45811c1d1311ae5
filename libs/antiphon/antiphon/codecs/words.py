"""English words, as far as names of messages need them: verbs that begin a command, forms that say it has happened."""

from __future__ import annotations


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


VERBS = _words(
    """
    abort accept access acknowledge acquire act activate add address adjust administer admit advance advise
    agree alert align allow alter amend amplify analyse announce annul answer append apply appoint approach
    approve archive arm arrange ask assemble assert assess assign assist associate assume attach attempt
    attend audit augment authorise await award back backfill ban bank begin bid bill bind blend block board
    book boost borrow bounce bring broadcast browse buffer build bump buy cache call cancel capture cast catch
    challenge change charge charter check choose claim clean clear click clone close code collapse collect
    combine come command comment commission commit compact compare compile complete compose compress compute
    conclude conduct configure confirm connect consent consider construct consult consume contact continue
    control convert cool cooperate copy correct count cover craft crawl create credit crop cure cut deal debit
    debug decide declare decline decode decompress decrease decrypt defer define delay delete deliver demand
    deny depart deploy deposit derive describe deserialise design destroy detach detect determine develop
    diagnose dial diff digest dim direct disable disarm disband disburse discard discharge disclose disconnect
    discover discuss dismiss dispatch display dispose dispute distribute divide do dock document double
    download draft drain draw drive drop dump earn echo edit eject elect embed emit employ empty enable encode
    encourage encrypt end endorse enforce engage enhance enlist enqueue enrich enrol enroll ensure enter erase
    escalate establish evict examine exceed except exchange exclude exempt exercise exit expand expect expire
    explain explore export expose express extend extract fail fan feed fetch file fill filter finalise finance
    find finish fire fit fix flag flip flush fly focus follow force forecast forget fork form format forward
    free freeze fulfil fulfill fund fuse gather get give go grade grant greet group grow guard guess guide
    halt handle harvest hash heal heat hide hire hold honour host identify ignore impersonate implement import
    impose improve include increase increment index infer inform ingest inject insert inspect install instruct
    insure intercept interpret interrupt introduce invent invest invite invoice invoke issue join judge jump
    keep kick kill label land launch lay lead learn lease leave lend let level license lift limit link list
    listen load lock log look lower mail maintain make manage map mark mask match measure meet melt mend merge
    message mine mint mirror mix model monitor mount move multiply mute name negotiate nominate note notify
    number observe obtain offboard offer onboard open operate order organise outsource overdraw override
    overwrite own pack package page paint pair park parse partition pass patch pause pay perform permit
    persist pick pin ping place plan plant play plot point poll pool post prepare present preserve press
    prevent price print prioritise probe process procure produce profile project promote prompt propose
    protect prove provide provision prune publish pull pump purchase purge push put quantify quarantine query
    question queue quote raise rank rate reach react read ready realise rebalance rebook rebuild recalculate
    recall receive recharge recommend reconcile reconnect record recover recruit redeem redirect redrive
    reduce refer refill refine reflect refresh refund refuse register regret reject relabel relay release
    relocate remember remind remove rename render renew rent reopen reorder repair repeat replace replay
    replenish reply report represent request require rerun resend reserve reset resize resolve respond restart
    restock restore restrict resubmit resume retain retire retrain retrieve retry return reveal reverse revert
    review revise revoke reward rewind rewrite ring roll rollback rotate round route run sample sanction save
    say scale scan schedule score scrape screen scrub seal search secure see seed segment seize select sell
    send sequence serialise serve set settle shake share sharpen shift ship show shrink shuffle shut sign
    silence simplify sink size skip sleep slice slow smooth snapshot snooze solve sort source spawn speak
    specify spend spin split sponsor spread squash stack staff stage stamp standardise start state stay steer
    step stitch stock stop store stream strip study style submit subscribe substitute subtract suggest
    summarise summarize supersede supervise supply support suppress survey suspend swap sweep switch sync
    synchronise synthesise synthesize tag tail take talk tally target tax teach tell tend test throttle throw
    tie tighten time toggle tokenise top total touch trace track trade train transcode transcribe transfer
    transform transition transmit transport travel treat triage trigger trim trip troubleshoot trust try tune
    turn tweak unblock underwrite undo unfreeze unlink unlock unmount unpack unpark unregister unset
    unsubscribe update upgrade upload upsert use vaccinate validate value vary vend vent verify veto view
    visit void vote wait wake walk warm warn wash watch weigh widen win wind wipe wire withdraw withhold work
    wrap write yield zip
    """
)
NOUNS_IN_ATE = _words(
    """
    candidate certificate climate corporate date gate inmate mate plate private template
    """
)
# past tenses and participles that do not end in -ed
PAST = _words(
    """
    arisen awoken became been began begun bent bitten blown born bought bound broke broken brought built burnt
    burst came caught chose chosen cut dealt did done drawn drew driven drove drunk dug eaten fallen fed fell
    felt flew flown forbidden forgotten fought found froze frozen gave given gone got gotten grew grown heard
    held hid hidden hit hung hurt kept knew known laid led left lent let lit lost made meant met mown
    overridden overrun paid proven put quit ran read rerun resent reset ridden risen rose run said sat saw
    sawn seen sent set sewn shaken shook shot shown shrunk shut slept sold spent split spoke spoken spread
    sprung spun stole stolen stood struck stuck sung sunk swam swept sworn swum taken taught thought threw
    thrown told took torn underpaid understood undone unset upset was went withdrawn withdrew withheld woke
    woken won wore worn wound woven written wrote
    """
)
# what ends in -ed and is neither
NOT_PAST = _words(
    """
    bed biped bleed breed creed deed embed exceed feed greed heed hundred indeed moped need newsfeed proceed
    red reed sacred seed shed sled speed steed succeed ted thread wed weed
    """
)
