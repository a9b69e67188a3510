//! What clients and providers write to each other: dialects as data, requests, answers, streams and errors. Knows bytes; decides nothing.
