# Drives fail2ban's own jail (filter, failure manager, ban manager, observer, database) by
# `seconds address` lines, with its clock set to each line's time, and prints after each line
# the end of the ban of that address and how often it has been banned, as in its database.
import json, logging, sys
sys.path.insert(0, "/usr/lib/python3/dist-packages")
logging.getLogger("fail2ban").setLevel(logging.CRITICAL)
from fail2ban.server.database import Fail2BanDb
from fail2ban.server.jail import Jail
from fail2ban.server.mytime import MyTime
from fail2ban.server.observer import ObserverThread, Observers

options = json.loads(sys.argv[1])

class Prompt(ObserverThread):
    """Does at once what the real one does a moment later."""
    def add(self, *event):
        pending.append(event)
    def add_named_timer(self, *args):
        pass

def settle():
    while pending:
        name, *args = pending.pop(0)
        (getattr(observer, name) if isinstance(name, str) else name)(*args)
        jail.actions._Actions__checkBan()

pending = []
observer = Observers.Main = Prompt()
database = Fail2BanDb(":memory:")
database.purgeage = options["dbpurgeage"]
jail = Jail("dovecot", backend="polling", db=database)
jail.isAlive = lambda: True
database.addJail(jail)
jail.filter.setDatePattern("{^LN-BEG}Epoch")
jail.filter.addFailRegex("^ failure of <HOST>$")
jail.filter.setMaxRetry(options["maxretry"])
jail.filter.setFindTime(options["findtime"])
jail.actions.setBanTime(options["bantime"])
for name, value in options["extra"].items():
    jail.setBanTimeExtra(name, value)

# A failure exactly findtime ago is in or out by who happens to have swept; here it is in.
sweep = jail.filter.failManager.cleanup
jail.filter.failManager.cleanup = lambda now: sweep(now - 1)

for line in sys.stdin:
    at, ip = line.split()
    MyTime.setTime(int(at))
    database.purge()
    jail.actions._Actions__checkUnBan(sys.maxsize)
    jail.filter.failManager.cleanup(int(at))
    if ip.startswith("-"):
        ip = ip[1:]
        jail.actions.removeBannedIP(ip, ifexists=True)
        # The one wanted difference: an admin's unban forgets what was counted since as well.
        jail.filter.failManager.delFailure(ip)
    else:
        jail.filter.processLineAndAdd(at + " failure of " + ip)
        jail.actions._Actions__checkBan()
        settle()
    ticket = jail.actions.banManager._BanManager__banList.get(ip)
    end = ticket.getEndOfBanTime(jail.actions.getBanTime()) if ticket else "-"
    known = list(database.getBan(ip, jail))
    print(end, known[0][0] if known else 0)
