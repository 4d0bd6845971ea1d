//! A subscriber that notes what it is told of spans.

use std::collections::HashMap;
use std::fmt::Debug;
use std::sync::{Arc, Mutex};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id};
use tracing::{Event, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::registry::{LookupSpan, Registry};

use super::watched;

/// What was seen: spans with the span around each, events with the span that they are in, and how many spans are open.
#[derive(Clone, Default)]
struct Seen(Arc<Mutex<Log>>);

#[derive(Default)]
pub(crate) struct Log {
    pub(crate) around: HashMap<String, Option<String>>,
    pub(crate) events: Vec<(String, String)>,
    pub(crate) entered: HashMap<String, usize>,
    pub(crate) open: usize,
    pub(crate) inside: isize,
}

/// The fields of a span or an event, in one line.
#[derive(Default)]
struct Fields(String);

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        match field.name() {
            "message" => self.0.insert_str(0, &format!("{value:?}")),
            "seconds" | "location" | "kind" | "path" | "queued" => {}
            name => self.0 += &format!(" {name}={value:?}"),
        }
    }
}

struct Label(String);

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Seen {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, cx: Context<'_, S>) {
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        let label = format!("{}{}", attributes.metadata().name(), fields.0);
        let span = cx.span(id).unwrap();
        let around = span.parent().map(|parent| parent.extensions().get::<Label>().unwrap().0.clone());
        span.extensions_mut().insert(Label(label.clone()));
        let mut log = self.0.lock().unwrap();
        log.around.insert(label, around);
        log.open += 1;
    }

    fn on_event(&self, event: &Event<'_>, cx: Context<'_, S>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let label = cx.event_span(event).map(|span| span.extensions().get::<Label>().unwrap().0.clone());
        self.0.lock().unwrap().events.push((label.unwrap_or_default(), fields.0));
    }

    fn on_enter(&self, id: &Id, cx: Context<'_, S>) {
        let label = cx.span(id).unwrap().extensions().get::<Label>().unwrap().0.clone();
        let mut log = self.0.lock().unwrap();
        *log.entered.entry(label).or_default() += 1;
        log.inside += 1;
    }

    fn on_exit(&self, _: &Id, _: Context<'_, S>) {
        self.0.lock().unwrap().inside -= 1;
    }

    fn on_close(&self, _: Id, _: Context<'_, S>) {
        self.0.lock().unwrap().open -= 1;
    }
}

/// Runs `f` on a separate thread with a subscriber, and returns what the subscriber was told.
pub(crate) fn seen(f: impl FnOnce() + Send + 'static) -> Log {
    watched(move || {
        let seen = Seen::default();
        tracing::subscriber::with_default(Registry::default().with(seen.clone()), f);
        std::mem::take(&mut *seen.0.lock().unwrap())
    })
}

impl Log {
    pub(crate) fn of(&self, span: &str) -> Vec<&str> {
        let events = self.events.iter().filter(|(label, _)| label == span);
        events.map(|(_, event)| event.as_str()).collect()
    }

    pub(crate) fn around(&self, span: &str) -> Option<&str> {
        self.around[span].as_deref()
    }
}
