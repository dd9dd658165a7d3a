// The producer: POST /contacts publishes one persistent message, and answers 202 after the publisher confirm.
//
// Without a module, Go would behave as in 2023, for example in net/http.
//
//go:debug default=go1.27
package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/mail"
	"os"
	"os/signal"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"
	amqp "github.com/rabbitmq/amqp091-go"
)

// Goroutines must not share a channel. So requests that publish at the same time need several.
const channels = 4

// The most bytes of a request body.
const maxBody = 1 << 20

func env(name string) string {
	value := os.Getenv(name)
	if value == "" {
		log.Printf("%s is not set", name)
		os.Exit(2)
	}
	return value
}

var stopping atomic.Bool

// No reconnect: the process exits, and its supervisor starts it again.
func exitOnLoss(closed <-chan *amqp.Error) {
	if err := <-closed; !stopping.Load() {
		log.Fatalf("connection to the broker lost: %v", err)
	}
}

// publisher has a channel in confirm mode. One goroutine at a time may publish with it.
type publisher struct {
	channel  *amqp.Channel
	queue    string
	returned sync.Map
	noted    chan struct{}
}

func newPublisher(connection *amqp.Connection, queue string) (*publisher, error) {
	channel, err := connection.Channel()
	if err != nil {
		return nil, err
	}
	if _, err := channel.QueueDeclarePassive(queue, true, false, false, false, nil); err != nil {
		return nil, err
	}
	if err := channel.Confirm(false); err != nil {
		return nil, err
	}
	go exitOnLoss(channel.NotifyClose(make(chan *amqp.Error, 1)))
	p := &publisher{channel: channel, queue: queue, noted: make(chan struct{})}
	go p.noteReturns(channel.NotifyReturn(make(chan amqp.Return)))
	return p, nil
}

// noteReturns notes which messages were unroutable. The broker returns such a message before it confirms it. `returns`
// has no buffer, so this function has the message before the library reads the confirm. `noted` has no buffer either,
// so whoever receives from it after the confirm knows that the message is noted.
func (p *publisher) noteReturns(returns <-chan amqp.Return) {
	defer close(p.noted)
	for {
		select {
		case message, open := <-returns:
			if !open {
				return
			}
			p.returned.Store(message.MessageId, nil)
		case p.noted <- struct{}{}:
		}
	}
}

func (p *publisher) publish(message amqp.Publishing) (*amqp.DeferredConfirmation, error) {
	return p.channel.PublishWithDeferredConfirm("", p.queue, true, false, message)
}

// confirmed waits for the publisher confirm. Others may publish in the meantime.
func (p *publisher) confirmed(confirmation *amqp.DeferredConfirmation, id string) error {
	if !confirmation.Wait() {
		return errors.New("the broker did not store the message")
	}
	<-p.noted
	if _, returned := p.returned.LoadAndDelete(id); returned {
		return errors.New("the message is unroutable")
	}
	return nil
}

type contact struct {
	Name  string `json:"name"`
	Phone string `json:"phone"`
	Email string `json:"email"`
}

type command struct {
	Schema      int     `json:"schema"`
	Operation   string  `json:"operation"`
	OperationID string  `json:"operation_id"`
	ContactID   string  `json:"contact_id"`
	Stamp       int64   `json:"stamp"`
	AcceptedAt  string  `json:"accepted_at"`
	Contact     contact `json:"contact"`
}

type accepted struct {
	OperationID string `json:"operation_id"`
	ContactID   string `json:"contact_id"`
	Version     string `json:"version"`
	Status      string `json:"status"`
}

type problem struct {
	Message string `json:"message"`
}

var (
	punctuation = strings.NewReplacer(" ", "", "(", "", ")", "", ".", "", "-", "")
	e164        = regexp.MustCompile(`^(?:\+?55|0)?([1-9]\d)(9\d{8}|[2-5]\d{7})$`)
)

// decode reads and checks a contact: `(11) 98765-4321` becomes `+5511987654321`. It ignores members that it does not
// know, as the other peers do.
func decode(body io.Reader) (contact, error) {
	var c contact
	decoder := json.NewDecoder(body)
	if err := decoder.Decode(&c); err != nil {
		return c, err
	}
	if _, err := decoder.Token(); err != io.EOF {
		return c, errors.New("the body must be one JSON object")
	}
	if length := utf8.RuneCountInString(c.Name); length < 1 || length > 100 {
		return c, errors.New("name must have 1 to 100 characters")
	}
	if length := len(c.Phone); length < 10 || length > 32 {
		return c, errors.New("phone must have 10 to 32 characters")
	}
	parts := e164.FindStringSubmatch(punctuation.Replace(c.Phone))
	if parts == nil {
		return c, errors.New("phone must be a phone number")
	}
	c.Phone = "+55" + parts[1] + parts[2]
	// The parser also accepts `Ana <ana@example.com>`.
	if address, err := mail.ParseAddress(c.Email); err != nil || address.Address != c.Email || len(c.Email) > 254 {
		return c, errors.New("email must be an e-mail address")
	}
	return c, nil
}

func answer(w http.ResponseWriter, status int, value any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	// An error here means that the client is gone.
	_ = json.NewEncoder(w).Encode(value)
}

// create returns the handler of POST /contacts.
func create(publishers chan *publisher) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasPrefix(r.Header.Get("Content-Type"), "application/json") {
			answer(w, http.StatusUnsupportedMediaType, problem{"the body must be JSON"})
			return
		}
		c, err := decode(http.MaxBytesReader(w, r.Body, maxBody))
		if err != nil {
			answer(w, http.StatusBadRequest, problem{err.Error()})
			return
		}
		now := time.Now().UTC()
		operation, contact := uuid.Must(uuid.NewV7()).String(), uuid.Must(uuid.NewV7()).String()
		body, err := json.Marshal(command{
			Schema:      1,
			Operation:   "insert",
			OperationID: operation,
			ContactID:   contact,
			Stamp:       now.UnixMilli() << 16,
			AcceptedAt:  now.Format("2006-01-02T15:04:05.000000Z"),
			Contact:     c,
		})
		if err != nil {
			answer(w, http.StatusInternalServerError, problem{err.Error()})
			return
		}
		p := <-publishers
		confirmation, err := p.publish(amqp.Publishing{
			DeliveryMode: amqp.Persistent,
			MessageId:    operation,
			Type:         "contact.insert",
			ContentType:  "application/json",
			Timestamp:    now,
			AppId:        "contacts",
			Body:         body,
		})
		publishers <- p
		if err == nil {
			err = p.confirmed(confirmation, operation)
		}
		if err != nil {
			answer(w, http.StatusInternalServerError, problem{err.Error()})
			return
		}
		w.Header().Set("Location", "/operations/"+operation)
		answer(w, http.StatusAccepted, accepted{operation, contact, operation, "accepted"})
	}
}

func main() {
	url, queue, port := env("AMQP_URL"), env("QUEUE"), env("PORT")
	// Reads random bytes of several ids at once.
	uuid.EnableRandPool()

	connection, err := amqp.Dial(url)
	if err != nil {
		log.Fatal(err)
	}
	go exitOnLoss(connection.NotifyClose(make(chan *amqp.Error, 1)))
	publishers := make(chan *publisher, channels)
	for range channels {
		p, err := newPublisher(connection, queue)
		if err != nil {
			log.Fatal(err)
		}
		publishers <- p
	}

	mux := http.NewServeMux()
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok") })
	mux.HandleFunc("POST /contacts", create(publishers))
	server := &http.Server{Addr: net.JoinHostPort("127.0.0.1", port), Handler: mux, ReadHeaderTimeout: 10 * time.Second}

	stop, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer cancel()
	go func() {
		if err := server.ListenAndServe(); err != http.ErrServerClosed {
			log.Fatal(err)
		}
	}()
	<-stop.Done()
	// Waits for the answers of all requests, so for the confirms, too.
	if err := server.Shutdown(context.Background()); err != nil {
		log.Fatal(err)
	}
	stopping.Store(true)
	if err := connection.Close(); err != nil {
		log.Fatal(err)
	}
}
