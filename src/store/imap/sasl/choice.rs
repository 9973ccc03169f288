//! Which mechanisms are tried, and in what order.

use super::Mechanism::{self, *};

/// What the server and the line allow.
pub struct Offer<'a> {
    /// Whether the server has a capability.
    pub has: &'a dyn Fn(&str) -> bool,
    /// Whether the TLS channel can be bound.
    pub bindable: bool,
    /// Whether this program can show Kerberos tickets.
    pub kerberos: bool,
}

/// What the user wants.
pub struct Wish<'a> {
    /// Names, best first; what is strongest where empty.
    pub named: &'a [String],
    /// Whether the secret is an access token, wherever it comes from.
    pub token: bool,
    /// Whether the mail of another user is wanted.
    pub authzid: bool,
}

/// Strongest first. What is weak, or needs something special, is used only where it is named. By Kerberos nothing crosses
/// the line that could be used again; without a ticket it is passed over.
const BY_PASSWORD: [Mechanism; 7] = [Gssapi, ScramSha256Plus, ScramSha256, ScramSha1Plus, ScramSha1, Plain, Login];
const BY_TOKEN: [Mechanism; 2] = [OauthBearer, Xoauth2];

/// The mechanisms that both sides allow, best first.
///
/// A secret is a password or a token. It is a token where that was said, or where only mechanisms are named that take
/// one; what takes the other kind is passed over, for it would give the secret away. So is what can't say whose mail is
/// wanted: it would open the wrong mailbox.
pub fn choose(offer: &Offer<'_>, wish: &Wish<'_>) -> Vec<Mechanism> {
    let named: Vec<Mechanism> = wish.named.iter().filter_map(|name| Mechanism::parse(name)).collect();
    let mut secrets = named.iter().filter(|mechanism| mechanism.takes_secret()).peekable();
    let token = wish.token || (secrets.peek().is_some() && secrets.all(|mechanism| mechanism.takes_token()));
    let usual = if token { BY_TOKEN.as_slice() } else { BY_PASSWORD.as_slice() };
    let wanted = if wish.named.is_empty() { usual } else { named.as_slice() };
    let fits = |mechanism: &&Mechanism| {
        let offered = match mechanism {
            Login => !(offer.has)("LOGINDISABLED"),
            other => (offer.has)(&format!("AUTH={}", other.name())),
        };
        offered
            && (!mechanism.takes_secret() || mechanism.takes_token() == token)
            && (!wish.authzid || mechanism.takes_authzid())
            && (!mechanism.is_bound() || offer.bindable)
            && (**mechanism != Gssapi || offer.kerberos)
    };
    wanted.iter().filter(fits).copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVERYTHING: &str = "AUTH=XOAUTH2 AUTH=LOGIN AUTH=PLAIN AUTH=EXTERNAL AUTH=OAUTHBEARER AUTH=CRAM-MD5 AUTH=SCRAM-SHA-1 \
                              AUTH=SCRAM-SHA-1-PLUS AUTH=SCRAM-SHA-256 AUTH=SCRAM-SHA-256-PLUS AUTH=GSSAPI";

    /// `wish`: names, and `+token`, `+authzid`, `+bindable`, `+kerberos`.
    fn chosen(caps: &str, wish: &str) -> Vec<Mechanism> {
        let (marks, named): (Vec<&str>, Vec<&str>) = wish.split_whitespace().partition(|word| word.starts_with('+'));
        let named: Vec<String> = named.into_iter().map(str::to_owned).collect();
        let has = |name: &str| caps.split_whitespace().any(|cap| cap == name);
        let offer = Offer { has: &has, bindable: marks.contains(&"+bindable"), kerberos: marks.contains(&"+kerberos") };
        let (token, authzid) = (marks.contains(&"+token"), marks.contains(&"+authzid"));
        choose(&offer, &Wish { named: &named, token, authzid })
    }

    #[test]
    fn the_strongest_comes_first() {
        for (caps, wish, mechanisms) in [
            (EVERYTHING, "+bindable", &[ScramSha256Plus, ScramSha256, ScramSha1Plus, ScramSha1, Plain, Login][..]),
            (EVERYTHING, "", &[ScramSha256, ScramSha1, Plain, Login]),
            (EVERYTHING, "+kerberos", &[Gssapi, ScramSha256, ScramSha1, Plain, Login]),
            ("AUTH=PLAIN", "+kerberos", &[Plain, Login]),
            (EVERYTHING, "+token +kerberos", &[OauthBearer, Xoauth2]),
            (EVERYTHING, "+authzid +kerberos", &[Gssapi, ScramSha256, ScramSha1, Plain]),
            ("", "", &[Login]),
            ("AUTH=PLAIN LOGINDISABLED", "", &[Plain]),
            ("AUTH=CRAM-MD5 AUTH=EXTERNAL LOGINDISABLED", "", &[]),
            (EVERYTHING, "+token", &[OauthBearer, Xoauth2]),
            ("AUTH=XOAUTH2 AUTH=PLAIN", "+token", &[Xoauth2]),
            ("AUTH=PLAIN", "+token", &[]),
            (EVERYTHING, "+authzid", &[ScramSha256, ScramSha1, Plain]),
        ] {
            assert_eq!(chosen(caps, wish), mechanisms, "{caps} for {wish:?}");
        }
    }

    #[test]
    fn what_is_named_is_tried_in_that_order_and_nothing_else_is() {
        for (caps, wish, mechanisms) in [
            (EVERYTHING, "login plain", &[Login, Plain][..]),
            (EVERYTHING, "cram-md5", &[CramMd5]),
            (EVERYTHING, "external", &[External]),
            (EVERYTHING, "gssapi +kerberos", &[Gssapi]),
            (EVERYTHING, "plain gssapi +kerberos", &[Plain, Gssapi]),
            (EVERYTHING, "gssapi plain", &[Plain]),
            (EVERYTHING, "gssapi plain +token +kerberos", &[Gssapi]),
            (EVERYTHING, "external plain +token", &[External]),
            (EVERYTHING, "Scram-Sha-256-Plus plain", &[Plain]),
            (EVERYTHING, "scram-sha-256-plus plain +bindable", &[ScramSha256Plus, Plain]),
            ("AUTH=PLAIN", "scram-sha-256", &[]),
            ("LOGINDISABLED", "login", &[]),
            (EVERYTHING, "login cram-md5 plain +authzid", &[Plain]),
            // Alone they say that the secret is a token; beside others it is a password.
            (EVERYTHING, "xoauth2 oauthbearer", &[Xoauth2, OauthBearer]),
            (EVERYTHING, "external xoauth2", &[External, Xoauth2]),
            (EVERYTHING, "xoauth2 cram-md5 plain login", &[CramMd5, Plain, Login]),
            (EVERYTHING, "xoauth2 cram-md5 plain login +token", &[Xoauth2]),
            (EVERYTHING, "unheard-of", &[]),
        ] {
            assert_eq!(chosen(caps, wish), mechanisms, "{caps} for {wish:?}");
        }
    }
}
