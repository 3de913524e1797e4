//! Made-up events of both streams, in the shapes and shares of `bluelake generate`: some fields are often absent, one
//! event in two has fields that the contract does not know.

use bluelake_schemas::Stream;

/// Events of one stream, one JSON object each.
pub(crate) fn of(stream: Stream, count: usize) -> Vec<Vec<u8>> {
    let mut dice = Dice(7);
    let event = |_| match stream {
        Stream::UserEvents => user(&mut dice),
        Stream::TransactionEvents => transaction(&mut dice),
    };
    (0..count).map(event).map(String::into_bytes).collect()
}

/// Numbers that look drawn and are the same every time. (Numerical Recipes, 64-bit linear congruential generator.)
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }

    fn in_hundred(&mut self, share: u64) -> bool {
        self.below(100) < share
    }

    fn one_of<'a>(&mut self, choices: &[&'a str]) -> &'a str {
        let index = usize::try_from(self.below(choices.len() as u64)).unwrap();
        choices.get(index).copied().unwrap_or_default()
    }

    fn uuid(&mut self) -> String {
        let mut part = |digits: u32| self.below(1 << (4 * digits).min(31));
        format!("{:08x}-{:04x}-{:04x}-{:04x}-{:06x}{:06x}", part(8), part(4), part(4), part(4), part(6), part(6))
    }

    fn zip_code(&mut self) -> &'static str {
        self.one_of(&["60614", "10027", "48201", "07102", "98104", "53205", "02139", "80205"])
    }
}

/// The members of an object, as they are written.
struct Members(String);

impl Members {
    fn text(&mut self, name: &str, value: &str) -> &mut Self {
        self.raw(name, &format!("\"{value}\""))
    }

    fn raw(&mut self, name: &str, value: &str) -> &mut Self {
        let open = if self.0.is_empty() { '{' } else { ',' };
        self.0.push(open);
        self.0.push_str(&format!("\"{name}\":{value}"));
        self
    }
}

fn envelope(dice: &mut Dice, event_type: &str, source: &str) -> Members {
    let mut members = Members(String::with_capacity(512));
    members.text("event_id", &dice.uuid()).text("event_type", event_type);
    if dice.in_hundred(95) {
        members.raw("schema_version", "1");
    }
    let (day, hour, minute) = (1 + dice.below(20), dice.below(24), dice.below(60));
    let time = format!("2026-11-{day:02}T{hour:02}:{minute:02}:{:02}.{:03}", dice.below(60), dice.below(1000));
    match dice.below(40) {
        0 => members.raw("occurred_at", &format!("{}", 1_795_000_000_000 + dice.below(400_000_000))),
        1 | 2 => members.text("occurred_at", &format!("{time}-06:00")),
        _ => members.text("occurred_at", &format!("{time}Z")),
    };
    members.text("source", source);
    if dice.in_hundred(93) {
        members.text("channel", dice.one_of(&["mobile", "mobile", "web"]));
    }
    members
}

/// What an app adds that no contract knows.
fn finish(dice: &mut Dice, mut members: Members) -> String {
    if dice.in_hundred(45) {
        members.text("app_build", dice.one_of(&["ios-5.15.0+20412", "android-5.14.1+51877", "web-2026.11.3"]));
    }
    if dice.in_hundred(40) {
        members.raw(
            "device",
            dice.one_of(&[
                r#"{"os":"ios","version":"18.6","model":"iPhone14,5","locale":"es-US"}"#,
                r#"{"os":"android","version":"15","model":"SM-A556E","rooted":false}"#,
                r#"{"os":"ios","version":"26.1","model":"iPhone17,2"}"#,
            ]),
        );
    }
    members.0.push('}');
    members.0
}

fn transaction(dice: &mut Dice) -> String {
    let event_type = match dice.below(100) {
        0..68 => "interaction",
        68..83 => "donation",
        83..97 => "redemption",
        _ => "transfer",
    };
    let mut members = envelope(dice, event_type, "scoring");
    match event_type {
        "interaction" => interaction(dice, &mut members),
        "donation" => {
            let recipient = dice.one_of(&["charity", "family_in_need"]);
            members.text("donor_id", &dice.uuid()).text("donor_kind", dice.one_of(&["civilian", "police_officer"]));
            members.text("recipient_id", &dice.uuid()).text("recipient_kind", recipient);
            members.raw("points", dice.one_of(&["5", "10", "25", "100"]));
            zip_code(dice, 70, &mut members);
        }
        "redemption" => redemption(dice, &mut members),
        _ => {
            members.text("from_officer_id", &dice.uuid()).text("to_officer_id", &dice.uuid()).raw("points", "15");
        }
    }
    finish(dice, members)
}

fn interaction(dice: &mut Dice, members: &mut Members) {
    members.text("civilian_id", &dice.uuid()).text("officer_id", &dice.uuid());
    members.text("method", dice.one_of(&["qr", "nearby", "event"]));
    members.raw("points_civilian", dice.one_of(&["5", "10", "25", "50"]));
    members.raw("points_officer", dice.one_of(&["2", "5", "10"])).text("zip_code", dice.zip_code());
    if dice.in_hundred(50) {
        members.raw("distance_ft", &format!("{}.{}", dice.below(150), dice.below(10)));
    }
    if dice.in_hundred(65) {
        members.raw("latitude", &format!("{}.{:06}", 25 + dice.below(23), dice.below(1_000_000)));
        members.raw("longitude", &format!("-{}.{:06}", 71 + dice.below(51), dice.below(1_000_000)));
    }
}

fn redemption(dice: &mut Dice, members: &mut Members) {
    let is_of_goods = dice.in_hundred(60);
    members.text("redeemer_id", &dice.uuid()).text("redeemer_kind", dice.one_of(&["civilian", "charity"]));
    members.text("provider_id", &dice.uuid());
    members.text("provider_kind", if is_of_goods { "merchant" } else { "municipality" });
    members.text("purpose", if is_of_goods { "goods" } else { "fine" }).raw("points", "40");
    if dice.in_hundred(45) {
        members.raw("amount_cents", &dice.below(20_000).to_string()).text("currency", "USD");
    }
    if dice.in_hundred(41) {
        members.raw(
            "items",
            dice.one_of(&[
                r#"[{"sku":"GRO-0042","name":"Bread, rye","quantity":2,"points":30}]"#,
                r#"[{"sku":"BOOK-7","name":"Atlas \"North\"","quantity":1,"points":25},{"sku":"PEN-1","name":"Pen","quantity":3,"points":15}]"#,
            ]),
        );
    }
    zip_code(dice, 80, members);
}

fn zip_code(dice: &mut Dice, share: u64, members: &mut Members) {
    if dice.in_hundred(share) {
        members.text("zip_code", dice.zip_code());
    }
}

fn user(dice: &mut Dice) -> String {
    let event_type = match dice.below(100) {
        0..82 => "user_created",
        82..98 => "user_updated",
        _ => "user_deactivated",
    };
    let mut members = envelope(dice, event_type, "onboarding");
    let kind = dice.one_of(&["civilian", "civilian", "civilian", "civilian", "police_officer", "merchant", "charity"]);
    members.text("user_id", &dice.uuid()).text("user_kind", kind);
    match event_type {
        "user_created" => profile(dice, kind, &mut members),
        "user_updated" => zip_code(dice, 100, &mut members),
        _ => {
            members.text("status", "deactivated");
        }
    }
    finish(dice, members)
}

fn profile(dice: &mut Dice, kind: &str, members: &mut Members) {
    let (first, last) =
        (dice.one_of(&["Carlos", "Destiny", "Omar", "Zoë"]), dice.one_of(&["Young", "Kim", "O'Brien", "Núñez"]));
    zip_code(dice, 100, members);
    members.text("display_name", &format!("{first} {last}"));
    members.text("email", &format!("{}{}@example.org", dice.one_of(&["carlos", "destiny", "o"]), dice.below(10_000)));
    if dice.in_hundred(70) {
        members.text("phone", &format!("+1-312-555-{:04}", dice.below(10_000)));
    }
    match kind {
        "police_officer" => {
            members.text("badge_number", &format!("404-{:05}", dice.below(100_000)));
            members.text("organization_name", "Atlanta Police Department");
        }
        "merchant" | "charity" => {
            members.text("organization_name", "Book Nook, Newark");
        }
        _ if dice.in_hundred(16) => {
            members.text("referred_by", &dice.uuid());
        }
        _ => {}
    }
    members.text("status", "active");
}
