mod embed;
mod errors;
mod mutations;
mod recorded;
mod replies;
mod requests;
mod texts;
