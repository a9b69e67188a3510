//! What a record of the past says about a configuration or its world. Brings logs, configuration and simulator together; prints nothing.

pub mod calibrate;
